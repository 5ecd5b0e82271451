package keystore

import (
	"encoding/binary"
	"hash/maphash"
	"slices"
	"sync"
)

// lockStripes is large enough that 128 callers with a few hashes each seldom wait for
// a stranger's sync.
const lockStripes = 1 << 12

// stripes are locks for any number of keys: two keys may share one.
type stripes [lockStripes]sync.RWMutex

var stripeSeed = maphash.MakeSeed()

func stripe(key []byte) int { return int(maphash.Bytes(stripeSeed, key) % lockStripes) }

func (s *stripes) of(key []byte) *sync.RWMutex { return &s[stripe(key)] }

// lock locks all the keys, in one order for every caller, so that none waits in a
// circle. Shared is enough to read.
func (s *stripes) lock(keys [][]byte, shared bool) (unlock func()) {
	at := make([]int, len(keys))
	for i, k := range keys {
		at[i] = stripe(k)
	}
	slices.Sort(at)
	at = slices.Compact(at)
	for _, i := range at {
		if shared {
			s[i].RLock()
		} else {
			s[i].Lock()
		}
	}
	return func() {
		for _, i := range at {
			if shared {
				s[i].RUnlock()
			} else {
				s[i].Unlock()
			}
		}
	}
}

// Kinds of records: the first byte of a key. Part of the storage format.
const (
	kindTenant    = 't'
	kindPerson    = 'p' // a person's key, by its id
	kindRecipient = 'c' // a recipient id's person, by the id's hash
	kindLink      = 'l' // an address's link to a person, by the address's hash
	kindName      = 'n' // a hash that is linked to a person, by the person's key id
	kindRoute     = 'r'
	kindSecret    = 's'
)

// recordKey joins the parts, each but the last behind its length, so that no two lists
// of parts make one key and those of a tenant or a route stand together.
func recordKey(kind byte, parts ...string) []byte {
	k := []byte{kind}
	for i, p := range parts {
		if i < len(parts)-1 {
			k = binary.AppendUvarint(k, uint64(len(p)))
		}
		k = append(k, p...)
	}
	return k
}
