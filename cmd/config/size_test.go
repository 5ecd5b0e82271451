package config

import "testing"

func TestSize(t *testing.T) {
	for text, want := range map[Size]int64{"256MiB": 256 << 20, "2GiB": 2 << 30, "3 GiB": 3 << 30, "0MiB": 0} {
		if got, err := text.Bytes(); err != nil || got != want {
			t.Errorf("%s is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []Size{"", "2", "GiB", "2GB", "-1GiB", "1.5GiB", "99999999999GiB"} {
		if got, err := text.Bytes(); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}
