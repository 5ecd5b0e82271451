package smtp

import "recapito/commands/channel"

// HostsUp returns how many smart hosts of a route are up.
func HostsUp(route channel.Route) (n int) {
	if r, ok := route.(*Route); ok {
		for _, h := range r.hosts {
			if h.state() == nil {
				n++
			}
		}
	}
	return n
}
