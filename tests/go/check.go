// Notes and proofs of ours, opened and checked by code of others: golang.org/x/mod/sumdb, as the distribution ships it.
//
// Reads one JSON question a line from standard input and writes one JSON answer a line. An answer has "error" if the
// packages refused. Built offline, without modules: see test_others.py.
package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type question struct {
	Op      string   `json:"op"`
	Note    string   `json:"note"`
	Text    string   `json:"text"`
	Keys    []string `json:"keys"`
	Secret  string   `json:"secret"`
	Path    []string `json:"path"`
	Root    string   `json:"root"`
	Leaf    string   `json:"leaf"`
	Index   int64    `json:"index"`
	Size    int64    `json:"size"`
	OldSize int64    `json:"old_size"`
	OldRoot string   `json:"old_root"`
	Leaves  []string `json:"leaves"`
}

type answer struct {
	Text  string   `json:"text,omitempty"`
	Names []string `json:"names,omitempty"`
	Times []uint64 `json:"times,omitempty"`
	Note  string   `json:"note,omitempty"`
	Size  int64    `json:"size,omitempty"`
	Root  string   `json:"root,omitempty"`
	Path  []string `json:"path,omitempty"`
	Error string   `json:"error,omitempty"`
}

// cosigner is a key of type 04, which the packages leave to their users: a time, then Ed25519 over time and text.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	head := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(signature))
	return ed25519.Verify(c.key, append([]byte(head), text...), signature[8:])
}

// verifier reads a vkey of type 01 by the package, of type 04 here; others are passed over, as the package would.
func verifier(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("not a vkey")
	}
	material, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(material) == 0 {
		return nil, errors.New("not base64")
	}
	switch material[0] {
	case 4:
		hash, err := strconv.ParseUint(parts[1], 16, 32)
		if err != nil || len(material) != 1+ed25519.PublicKeySize {
			return nil, errors.New("not a cosigner's key")
		}
		return cosigner{parts[0], uint32(hash), material[1:]}, nil
	case 6:
		return nil, nil
	}
	return note.NewVerifier(vkey)
}

func open(q question) (answer, error) {
	var known []note.Verifier
	for _, vkey := range q.Keys {
		one, err := verifier(vkey)
		if err != nil {
			return answer{}, err
		}
		if one != nil {
			known = append(known, one)
		}
	}
	opened, err := note.Open([]byte(q.Note), note.VerifierList(known...))
	if err != nil {
		return answer{}, err
	}
	found := answer{Text: opened.Text, Names: []string{}}
	for _, one := range opened.Sigs {
		found.Names = append(found.Names, one.Name)
	}
	return found, nil
}

func sign(q question) (answer, error) {
	signer, err := note.NewSigner(q.Secret)
	if err != nil {
		return answer{}, err
	}
	signed, err := note.Sign(&note.Note{Text: q.Text}, signer)
	return answer{Note: string(signed)}, err
}

func hash(text string) (tlog.Hash, error) {
	var found tlog.Hash
	data, err := hex.DecodeString(text)
	if err != nil || len(data) != tlog.HashSize {
		return found, errors.New("not a hash")
	}
	copy(found[:], data)
	return found, nil
}

func hashes(texts ...string) ([]tlog.Hash, error) {
	var found []tlog.Hash
	for _, text := range texts {
		one, err := hash(text)
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, nil
}

func inclusion(q question) error {
	path, err := hashes(q.Path...)
	if err != nil {
		return err
	}
	ends, err := hashes(q.Root, q.Leaf)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(path, q.Size, ends[0], q.Index, ends[1])
}

func consistency(q question) error {
	path, err := hashes(q.Path...)
	if err != nil {
		return err
	}
	ends, err := hashes(q.Root, q.OldRoot)
	if err != nil {
		return err
	}
	return tlog.CheckTree(path, q.Size, ends[0], q.OldSize, ends[1])
}

// tree is a log of the package's own, in memory.
func tree(leaves []string) (tlog.HashReaderFunc, error) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, index := range indexes {
			found = append(found, stored[index])
		}
		return found, nil
	})
	for number, text := range leaves {
		data, err := hex.DecodeString(text)
		if err != nil {
			return nil, err
		}
		more, err := tlog.StoredHashes(int64(number), data, reader)
		if err != nil {
			return nil, err
		}
		stored = append(stored, more...)
	}
	return reader, nil
}

// prove gives what the package's log proves about the leaves: of one leaf, or of an older size if one is named.
func prove(q question) (answer, error) {
	reader, err := tree(q.Leaves)
	if err != nil {
		return answer{}, err
	}
	size := int64(len(q.Leaves))
	root, err := tlog.TreeHash(size, reader)
	if err != nil {
		return answer{}, err
	}
	var path []tlog.Hash
	if q.OldSize > 0 {
		path, err = tlog.ProveTree(size, q.OldSize, reader)
	} else {
		path, err = tlog.ProveRecord(size, q.Index, reader)
	}
	found := answer{Root: hex.EncodeToString(root[:]), Path: []string{}}
	for _, one := range path {
		found.Path = append(found.Path, hex.EncodeToString(one[:]))
	}
	return found, err
}

func answered(q question) (answer, error) {
	switch q.Op {
	case "open":
		return open(q)
	case "sign":
		return sign(q)
	case "inclusion":
		return answer{}, inclusion(q)
	case "consistency":
		return answer{}, consistency(q)
	case "prove":
		return prove(q)
	}
	return answer{}, errors.New("no such question")
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var q question
		if err := json.NewDecoder(bytes.NewReader(lines.Bytes())).Decode(&q); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		found, err := answered(q)
		if err != nil {
			found.Error = err.Error()
		}
		text, _ := json.Marshal(found)
		fmt.Println(string(text))
	}
}
