package clickhouse

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// LibraryVersion is the version of the npm package the engine comes from, and
// the name of its folder in the cache. deploy/clickhouse-library.sh fetches
// exactly this one; a test keeps the two equal.
const LibraryVersion = "26.7.3-stable.1"

// LibraryEnv names another library file than the one in the cache.
const LibraryEnv = "RECAPITO_CLICKHOUSE_LIBRARY"

// ErrNoLibrary is reported when the engine's library is not there or does not
// load. The message explains how to get it.
var ErrNoLibrary = errors.New("the ClickHouse engine's library is not usable")

const howToGetIt = "run `make clickhouse-library` to fetch it (needs npm), name a file in " + LibraryEnv +
	", or point clickhouse.url at a ClickHouse server"

// LibraryPath returns the engine's library file: the one that
// RECAPITO_CLICKHOUSE_LIBRARY names, else the one in the cache folder
// ($XDG_CACHE_HOME or ~/.cache, then recapito/clickhouse/VERSION). The error
// wraps [ErrNoLibrary] and explains how to get it.
func LibraryPath() (string, error) {
	path := os.Getenv(LibraryEnv)
	if path == "" {
		cache := os.Getenv("XDG_CACHE_HOME")
		if cache == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", fmt.Errorf("%w: no home folder to look for it in: %w; %s", ErrNoLibrary, err, howToGetIt)
			}
			cache = filepath.Join(home, ".cache")
		}
		path = filepath.Join(cache, "recapito", "clickhouse", LibraryVersion, "libchdb.so")
	}
	return checkLibrary(path)
}

func checkLibrary(path string) (string, error) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		return "", fmt.Errorf("%w: the embedded engine does not run on %s; set clickhouse.url to a ClickHouse server", ErrNoLibrary, runtime.GOOS)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: %w; %s", ErrNoLibrary, err, howToGetIt)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%w: %s is not a file; %s", ErrNoLibrary, path, howToGetIt)
	}
	return path, nil
}
