package access

import (
	"fmt"
	"sync"

	"recapito/domain/tenant"
)

// holder is whose a key is.
type holder struct {
	tenant, id string
	revoked    bool
}

// index finds a key's holder by the hash of the key. It applies events in any order
// and any number of times: revoked stays revoked. tenant.MaxKeys bounds it for each
// tenant.
type index struct {
	mu   sync.RWMutex
	keys map[digest]holder
}

func newIndex() *index { return &index{keys: map[digest]holder{}} }

func (x *index) find(d digest) (holder, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	h, ok := x.keys[d]
	return h, ok && !h.revoked
}

func (x *index) apply(name string, e tenant.Event) error {
	var hash string
	h := holder{tenant: name}
	switch e := e.(type) {
	case tenant.KeyCreated:
		hash, h.id = e.Hash, e.KeyID
	case tenant.KeyRevoked:
		hash, h.id, h.revoked = e.Hash, e.KeyID, true
	}
	d, ok := parseDigest(hash)
	if !ok {
		return fmt.Errorf("the key %s is stored without a SHA-256", h.id)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if old, known := x.keys[d]; known && !h.revoked {
		h = old
	}
	x.keys[d] = h
	return nil
}
