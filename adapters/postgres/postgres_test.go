package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"recapito/adapters/postgres"
	"recapito/adapters/postgres/postgrestest"
	"recapito/commands"
	"recapito/commands/keystoretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var databases atomic.Int64

func newDatabase(s *postgrestest.Server) string {
	return s.NewDatabase(fmt.Sprint("keys", databases.Add(1)))
}

func person(id string) commands.PersonKey {
	return commands.PersonKey{PersonID: "p" + id, KeyID: "k" + id, Wrapped: []byte{0, id[0]}}
}

func claimOf(candidate commands.PersonKey, recipient string, addresses ...string) commands.PersonClaim {
	c := commands.PersonClaim{Candidate: candidate, At: 1}
	if recipient != "" {
		c.Recipient = []byte(recipient)
	}
	for _, a := range addresses {
		c.Addresses = append(c.Addresses, []byte(a))
	}
	return c
}

// One server for all that leave it alive.
func TestStore(t *testing.T) {
	server := postgrestest.Start(t)
	for name, test := range map[string]func(*testing.T, *postgrestest.Server){
		"one store":                   oneStore,
		"several stores":              severalStores,
		"opened at once":              openedAtOnce,
		"a newer schema is refused":   newerSchemaIsRefused,
		"no error shows the password": noErrorShowsThePassword,
		"a closed store refuses":      closedStoreRefuses,
	} {
		t.Run(name, func(t *testing.T) { test(t, server) })
	}
}

func oneStore(t *testing.T, server *postgrestest.Server) {
	keystoretest.Run(t, func(t *testing.T) keystoretest.Subject {
		url := newDatabase(server)
		s := open(t, url)
		return keystoretest.Subject{Store: s, Erase: s.MarkErased, Reopen: func(t *testing.T) commands.KeyStore {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, url)
		}}
	})
}

// several is stores on one database that take calls in turn, as instances would.
type several struct {
	*postgres.Store
	all  []*postgres.Store
	next atomic.Uint64
}

func (s *several) store() *postgres.Store { return s.all[s.next.Add(1)%uint64(len(s.all))] }

func (s *several) CreateTenantKey(ctx context.Context, tenant string, key []byte) ([]byte, error) {
	return s.store().CreateTenantKey(ctx, tenant, key)
}

func (s *several) AddressPersons(ctx context.Context, tenant string, hash []byte) ([]commands.PersonLink, error) {
	return s.store().AddressPersons(ctx, tenant, hash)
}

func (s *several) RecipientPerson(ctx context.Context, tenant string, hash []byte) (*commands.PersonLink, error) {
	return s.store().RecipientPerson(ctx, tenant, hash)
}

func (s *several) ClaimPerson(ctx context.Context, tenant string, c commands.PersonClaim) (commands.PersonKey, error) {
	return s.store().ClaimPerson(ctx, tenant, c)
}

// What one store answered, the others know: the complete suite over several at once.
func severalStores(t *testing.T, server *postgrestest.Server) {
	keystoretest.Run(t, func(t *testing.T) keystoretest.Subject {
		url := newDatabase(server)
		s := &several{}
		for range 4 {
			s.all = append(s.all, open(t, url))
		}
		s.Store = s.all[0]
		return keystoretest.Subject{Store: s, Erase: s.MarkErased, Reopen: func(t *testing.T) commands.KeyStore { return open(t, url) }}
	})
}

// Instances that start at once on an empty database make one schema.
func openedAtOnce(t *testing.T, server *postgrestest.Server) {
	url := newDatabase(server)
	var opening sync.WaitGroup
	var stores [8]*postgres.Store
	for i := range stores {
		opening.Go(func() {
			var err error
			if stores[i], err = postgres.Open(t.Context(), url); err != nil {
				t.Error(err)
			}
		})
	}
	opening.Wait()
	var secrets [len(stores)]string
	for i, s := range stores {
		if s == nil {
			continue
		}
		secret, err := s.Secret(t.Context(), "cursor", []byte{byte(i)})
		if err != nil {
			t.Error(err)
		}
		secrets[i] = string(secret)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, secret := range secrets {
		if secret != secrets[0] {
			t.Error("two instances hold different secrets")
		}
	}
}

// A server that is killed under load and comes back has every claim that was answered;
// meanwhile calls are errors that say nothing of keys, and end in time.
func TestKilledServerKeepsWhatWasAnswered(t *testing.T) {
	server := postgrestest.Start(t)
	url := newDatabase(server)
	stores := []*postgres.Store{open(t, url), open(t, url)}
	var (
		mu       sync.Mutex
		answered = map[string]commands.PersonKey{}
		claiming sync.WaitGroup
		enough   = make(chan struct{})
		stop     = make(chan struct{})
	)
	const writers, wanted = 8, 300
	for w := range writers {
		claiming.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprint(w, ".", i)
				got, err := stores[w%2].ClaimPerson(t.Context(), "acme", claimOf(person(id), "", id, fmt.Sprint("shared ", i)))
				if err != nil {
					if !errors.Is(err, commands.ErrKeysUnavailable) {
						t.Errorf("a claim: %v", err)
					}
					continue
				}
				mu.Lock()
				if answered[id] = got; len(answered) == wanted {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	server.Kill()
	begun := time.Now()
	_, err := stores[0].PersonKey(t.Context(), "acme", "k0.0")
	if !errors.Is(err, commands.ErrKeysUnavailable) || errors.Is(err, commands.ErrKeyAbsent) || errors.Is(err, commands.ErrKeyErased) {
		t.Errorf("of a server that is gone: %v", err)
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
	server.Start()
	close(stop)
	claiming.Wait()
	for id, want := range answered {
		links, err := stores[1].AddressPersons(t.Context(), "acme", []byte(id))
		if err != nil || len(links) != 1 || links[0].KeyID != want.KeyID {
			t.Fatalf("a claim that returned was lost: %v", err)
		}
		got, err := stores[1].PersonKey(t.Context(), "acme", want.KeyID)
		if err != nil {
			t.Fatalf("the key of a claim that returned was lost: %v", err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
}

// A server that could lose what it answered is refused; sessions that would not wait
// for the disk are made to.
func TestServerThatLosesCommits(t *testing.T) {
	server := postgrestest.Start(t)
	url := newDatabase(server)
	open(t, url)
	server.Kill()
	server.Start("synchronous_commit=off")
	if err := postgres.WaitsForDisk(t.Context(), url); err != nil {
		t.Error(err)
	}
	server.Kill()
	server.Start("fsync=off")
	if _, err := postgres.Open(t.Context(), url); err == nil || !strings.Contains(err.Error(), "fsync") {
		t.Errorf("a server without fsync: %v", err)
	}
}

func newerSchemaIsRefused(t *testing.T, server *postgrestest.Server) {
	url := newDatabase(server)
	open(t, url)
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(t.Context(), "INSERT INTO recapito_keys.version (version) VALUES (1000)"); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.Open(t.Context(), url); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("got %v", err)
	}
}

// Whatever is wrong with a connection string or its server, no error shows a password.
func noErrorShowsThePassword(t *testing.T, server *postgrestest.Server) {
	const hidden = "hidden-word"
	for _, url := range []string{
		"postgres://recapito:" + hidden + "@" + server.Addr() + "/postgres?sslmode=disable",
		"postgres://recapito:" + hidden + "@127.0.0.1:1/postgres?sslmode=disable",
		"postgres://recapito:" + hidden + "@" + server.Addr() + "/postgres?sslmode=" + hidden,
		"postgres://recapito:" + hidden + "@" + server.Addr() + "/postgres?pool_max_conns=" + hidden,
		"postgres://recapito:" + hidden + "@host:port:" + hidden,
		"postgres://%zz:" + hidden + "@host", "host=127.0.0.1 password=" + hidden, "mysql://x:" + hidden + "@host/db", "",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		_, err := postgres.Open(ctx, url)
		cancel()
		switch {
		case err == nil:
			t.Errorf("%s is taken", strings.ReplaceAll(url, hidden, "…"))
		case strings.Contains(err.Error(), hidden):
			t.Errorf("the error shows it: %s", strings.ReplaceAll(err.Error(), hidden, "…"))
		}
	}
}

func closedStoreRefuses(t *testing.T, server *postgrestest.Server) {
	s := open(t, newDatabase(server))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PersonKey(t.Context(), "acme", "k"); !errors.Is(err, commands.ErrKeysUnavailable) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkClaimPerson(b *testing.B) {
	s := open(b, postgrestest.Start(b).NewDatabase("bench"))
	var n atomic.Int64
	b.SetParallelism(16) // × GOMAXPROCS
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := fmt.Sprint(n.Add(1))
			if _, err := s.ClaimPerson(b.Context(), "acme",
				claimOf(commands.PersonKey{PersonID: id, KeyID: id, Wrapped: make([]byte, 61)}, "r"+id, "a"+id)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
