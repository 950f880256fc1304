// @tus/server on a free loopback port: server.mjs READY file DIR | s3 BUCKET ENDPOINT
import { renameSync, writeFileSync } from 'node:fs'
import { FileStore } from '@tus/file-store'
import { S3Store } from '@tus/s3-store'
import { Server } from '@tus/server'

const [ready, kind, where, endpoint] = process.argv.slice(2)
const datastore = kind === 'file'
  ? new FileStore({ directory: where })
  : new S3Store({
      partSize: 16 * 1024 * 1024,
      s3ClientConfig: {
        bucket: where,
        endpoint,
        region: 'us-east-1',
        forcePathStyle: true,
        credentials: { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY },
      },
    })
const server = new Server({ path: '/files', datastore })
const listener = server.listen({ host: '127.0.0.1', port: 0 }, () => {
  writeFileSync(`${ready}.new`, String(listener.address().port))
  renameSync(`${ready}.new`, ready)
})
