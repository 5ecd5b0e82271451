package commands

// MaxUnknown is how often an append of unknown outcome is repeated.
const MaxUnknown = maxUnknown

// CloseCache ends the goroutine of the handler's cache.
func (h *Handler[S, C, E]) CloseCache() { h.Close() }
