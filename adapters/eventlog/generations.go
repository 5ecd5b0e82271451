package eventlog

// generations is a bounded map that forgets what was neither written nor read lately:
// when the younger of two maps is full, the older one is dropped. It has one owner and
// no lock.
type generations[K comparable, V any] struct {
	limit          int // of each map
	younger, older map[K]V
}

func newGenerations[K comparable, V any](limit int) *generations[K, V] {
	return &generations[K, V]{limit: limit, younger: make(map[K]V), older: make(map[K]V)}
}

func (g *generations[K, V]) put(k K, v V) {
	if len(g.younger) >= g.limit {
		clear(g.older) // and its memory used again
		g.older, g.younger = g.younger, g.older
	}
	g.younger[k] = v
}

func (g *generations[K, V]) get(k K) (V, bool) {
	if v, ok := g.younger[k]; ok {
		return v, true
	}
	v, ok := g.older[k]
	if ok {
		g.put(k, v)
	}
	return v, ok
}
