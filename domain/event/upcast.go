package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"recapito/domain/personal"
)

// Upcaster turns the JSON of an event's old version into that of the next one. It
// never sees personal data in clear: values are sealed objects, which it may move, but
// not make.
type Upcaster func(old json.RawMessage) (json.RawMessage, error)

// Upcast registers an old name of an event and how its data become those of the next
// version. Several are given oldest first: each lifts to the one after it, the last to
// the event's present type. Nothing is encoded under an old name any more.
//
//	event.Define[RequestedV3]("NotificationRequestedV3",
//		event.Upcast("NotificationRequested", requestedV1ToV2),
//		event.Upcast("NotificationRequestedV2", requestedV2ToV3))
func Upcast(oldName string, lift Upcaster) Option {
	return func(d *Definition) { d.upcasts = append(d.upcasts, upcast{oldName, lift}) }
}

type upcast struct {
	name string
	lift Upcaster
}

// lift takes old data through every version from the given one on.
func (d Definition) lift(from int, data []byte) ([]byte, error) {
	raw, err := markSealed(data)
	if err != nil {
		return nil, fmt.Errorf("reading the old version: %w", err)
	}
	for _, u := range d.upcasts[from:] {
		if raw, err = u.lift(raw); err != nil {
			return nil, fmt.Errorf("upcast from %s: %w", u.name, err)
		}
	}
	return raw, nil
}

// markSealed writes into each sealed value the path it stands at: it was sealed for
// that one, and the upcast may move it.
func markSealed(data []byte) (json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // a number keeps every digit
	var root any
	if err := d.Decode(&root); err != nil {
		return nil, err
	}
	mark(root, "")
	return json.Marshal(root)
}

func mark(node any, path string) {
	switch n := node.(type) {
	case map[string]any:
		// Whatever the stored event says of itself is not believed.
		delete(n, personal.MovedMember)
		if isSealed(n) {
			n[personal.MovedMember] = path
			return
		}
		for k, child := range n {
			mark(child, path+"/"+escapePointer(k))
		}
	case []any:
		for i, child := range n {
			mark(child, path+"/"+strconv.Itoa(i))
		}
	}
}

func isSealed(n map[string]any) bool {
	for _, member := range []string{"person", "key", "nonce", "ciphertext", "commitment"} {
		if _, ok := n[member].(string); !ok {
			return false
		}
	}
	return true
}
