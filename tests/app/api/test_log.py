"""The public log is open, cacheable, and enough for a stranger to rebuild all of it."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI, Response

from app.api.log import public_log
from app.errors import NotFound
from custody import leaf, merkle, tail, tiles
from custody.checkpoint import open_checkpoint
from tests.app.db.world import LOG_KEYS, ORIGIN


class Visitor:
    """Somebody without any credential."""

    def __init__(self, api):
        self._transport = httpx.ASGITransport(app=api)

    def get(self, path, headers=None):
        return asyncio.run(self._get(path, headers))

    async def _get(self, path, headers):
        async with httpx.AsyncClient(transport=self._transport, base_url="https://evidence.example.org") as client:
            return await client.get(path, headers=headers)


@pytest.fixture
def visitor(world):
    api = FastAPI()
    api.include_router(public_log(origin=ORIGIN, engine=world.engine))
    api.add_exception_handler(NotFound, lambda *_: Response(status_code=404))
    return Visitor(api)


@pytest.fixture
def grown(world):
    """A log of more than two tiles, in five batches."""
    chain = world.open_chain()
    for count in (1, 2, 253, 100, 200):
        with world.unit_of_work() as uow:
            for _ in range(count):
                world.append(uow, chain)
            uow.commit()
        world.sequencer.run_once()
    return world


def fetch(visitor, path):
    answer = visitor.get(f"/log/{path}")
    assert answer.status_code == 200, path
    return answer


def widths(size):
    """(number, width) of every tile of a level with this many hashes."""
    return [(n, min(tiles.WIDTH, size - n * tiles.WIDTH)) for n in range(-(-size // tiles.WIDTH))]


def mirror(visitor, size):
    """The data of every leaf, from entry bundles alone."""
    leaves = []
    for n, width in widths(size):
        leaves += tiles.parse_entries(fetch(visitor, tiles.entries_path(n, width)).content, width)
    return leaves


def test_a_mirror_gets_root_labels_and_every_tail_leaf_from_the_public_tiles(grown, visitor):
    checkpoint, _ = open_checkpoint(fetch(visitor, "checkpoint").content, origin=ORIGIN, log=LOG_KEYS)
    tree, tail_tree, labels, tails = merkle.CompactRange(), tail.TailTree(), set(), 0
    levels = {}
    for data in mirror(visitor, checkpoint.size):
        said = leaf.parse(data)
        if isinstance(said, leaf.EntryLeaf):
            assert said.label not in labels
            labels.add(said.label)
            tail_tree.add(said.label)
        else:
            assert said.root == tail_tree.root()
            tails += 1
        for level, _, found in tree.append(merkle.leaf_hash(data)):
            if level % 8 == 0:
                levels.setdefault(level // 8, []).append(found)
    assert tree.root() == checkpoint.root
    assert (len(labels), tails) == (556, 5)
    for level, hashes in levels.items():
        for n, width in widths(len(hashes)):
            data = fetch(visitor, tiles.tile_path(level, n, width)).content
            assert tiles.parse_hashes(data, width) == hashes[n * tiles.WIDTH : n * tiles.WIDTH + width]


def test_narrower_tiles_stay_readable_when_wider_ones_exist(grown, visitor):
    for path in (tiles.tile_path, lambda _, n, width=256: tiles.entries_path(n, width)):
        full = fetch(visitor, path(0, 0)).content
        for width in (1, 2, 255):
            assert full.startswith(fetch(visitor, path(0, 0, width)).content)


def test_what_the_log_does_not_have_is_not_found(grown, visitor):
    beyond = [
        "tile/0/003",
        "tile/0/002.p/50",
        "tile/1/000",
        "tile/2/000.p/1",
        "tile/entries/003",
        "tile/entries/002.p/50",
    ]
    misspelt = ["tile/0/000.p/256", "tile/0/000.p/0", "tile/0/0", "tile/x/000", "tile/00/000", "tile/0/x000/000"]
    for path in (*beyond, *misspelt, "tile/64/000", "tile/", "tile/0/000.p/1/", "nothing"):
        assert visitor.get(f"/log/{path}").status_code == 404, path


def test_a_log_without_checkpoint_has_nothing_to_show(visitor):
    assert visitor.get("/log/checkpoint").status_code == 404
    assert visitor.get("/log/tile/0/000.p/1").status_code == 404


def test_full_tiles_are_kept_for_ever_and_the_checkpoint_is_asked_for_each_time(grown, visitor):
    for path in ("tile/0/000", "tile/entries/000"):
        answer = fetch(visitor, path)
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-type"] == "application/octet-stream"
    assert "immutable" not in fetch(visitor, "tile/0/002.p/1").headers["cache-control"]
    checkpoint = fetch(visitor, "checkpoint")
    assert checkpoint.headers["cache-control"] == "no-cache"
    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"


def test_what_is_known_is_not_sent_again(grown, visitor):
    for path in ("checkpoint", "tile/0/000"):
        tag = fetch(visitor, path).headers["etag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            answer = visitor.get(f"/log/{path}", headers={"If-None-Match": known})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
        assert visitor.get(f"/log/{path}", headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_new_checkpoint_has_another_tag(grown, visitor):
    tag = fetch(visitor, "checkpoint").headers["etag"]
    grown.note(grown.open_chain())
    grown.sequencer.run_once()
    assert visitor.get("/log/checkpoint", headers={"If-None-Match": tag}).status_code == 200


def test_an_origin_without_path_stands_at_the_root(world):
    routes = {route.path for route in public_log(origin="evidence.example.org", engine=world.engine).routes}
    assert routes == {"/checkpoint", "/tile/{path:path}"}
