package esdbserver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventlog/esdbserver"
	"recapito/adapters/eventstore"
	"recapito/domain/event"
)

func TestFeaturesAndGossip(t *testing.T) {
	f := newFixture(t)
	features, err := serverfeatures.NewServerFeaturesClient(f.conn).GetSupportedMethods(f.ctx, &shared.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	if features.GetEventStoreServerVersion() != "24.10.0" {
		t.Errorf("version %s", features.GetEventStoreServerVersion())
	}
	if !slices.ContainsFunc(features.GetMethods(), func(m *serverfeatures.SupportedMethod) bool {
		return m.GetServiceName() == "event_store.client.streams.streams" && m.GetMethodName() == "batchappend"
	}) {
		t.Errorf("methods %v", features.GetMethods())
	}
	info, err := gossip.NewGossipClient(f.conn).Read(f.ctx, &shared.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	if len(info.GetMembers()) != 1 {
		t.Fatalf("members %v", info.GetMembers())
	}
	m := info.GetMembers()[0]
	if at := fmt.Sprintf("%s:%d", m.GetHttpEndPoint().GetAddress(), m.GetHttpEndPoint().GetPort()); at != f.server.Addr() || m.GetState() != gossip.MemberInfo_Leader || !m.GetIsAlive() {
		t.Errorf("member %v", m)
	}
}

func TestAnOpenServerStaysOnLoopback(t *testing.T) {
	log, err := eventlog.Open(eventlog.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for _, o := range []esdbserver.Options{{Addr: "0.0.0.0:0"}, {Addr: ":0"}, {Addr: "0.0.0.0:0", Password: "x"}, {Addr: "0.0.0.0:0", TLS: &tls.Config{}}, {Addr: "nonsense"}} {
		o.Log = log
		if s, err := esdbserver.New(o); err == nil {
			t.Errorf("%+v listens on %s", o, s.Addr())
		}
	}
}

// The official client, with TLS and a password, the right one and others.
func TestTLSAndPassword(t *testing.T) {
	f := newFixture(t, func(_ *eventlog.Options, so *esdbserver.Options) {
		so.TLS, so.Password = selfSigned(t), "changeit"
	})
	tests := map[string]struct {
		user string
		want esdb.ErrorCode
	}{
		"right":         {"admin:changeit@", -1},
		"wrong":         {"admin:other@", esdb.ErrorCodeUnauthenticated},
		"wrong user":    {"root:changeit@", esdb.ErrorCodeUnauthenticated},
		"no credential": {"", esdb.ErrorCodeAccessDenied},
	}
	for what, test := range tests {
		for _, cluster := range []bool{false, true} { // the latter asks gossip first
			url := "esdb://" + test.user + f.server.Addr() + "?tlsVerifyCert=false"
			if cluster {
				url = strings.Replace(url, "?", ","+f.server.Addr()+"?", 1)
			}
			err := useOfficialClient(f.ctx, url)
			if test.want == -1 && err == nil {
				continue
			}
			if e, _ := esdb.FromError(err); e == nil || e.Code() != test.want {
				t.Errorf("%s, cluster %v: %v", what, cluster, err)
			}
		}
	}
	if err := useOfficialClient(f.ctx, "esdb://admin:changeit@"+f.server.Addr()+"?tls=false&maxDiscoverAttempts=1"); err == nil {
		t.Error("without TLS it is let in")
	}
}

func useOfficialClient(ctx context.Context, url string) error {
	config, err := esdb.ParseConnectionString(url)
	if err != nil {
		return err
	}
	config.Logger = esdb.NoopLogging()
	client, err := esdb.NewClient(config)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := client.AppendToStream(ctx, "s", esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "A"}); err != nil {
		return err
	}
	read, err := client.ReadStream(ctx, "s", esdb.ReadStreamOptions{}, 1)
	if err != nil {
		return err
	}
	defer read.Close()
	_, err = read.Recv()
	return err
}

func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

// An append that is refused is heard out: a client that could not send it all might not
// look for the reason.
func TestARefusedAppendIsHeardOut(t *testing.T) {
	f := newFixture(t, func(_ *eventlog.Options, so *esdbserver.Options) { so.Password = "changeit" })
	call, err := f.streams.Append(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*streams.AppendReq{optionsAny("s"), message("A", "application/json", []byte(`{}`)), message("A", "application/json", []byte(`{}`))} {
		time.Sleep(50 * time.Millisecond) // more than the server needs to refuse it
		if err := call.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := call.CloseAndRecv(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("replied %v", err)
	}
}

// What the policy keeps is written by the ledger's user alone, and deleted by nobody.
func TestPolicy(t *testing.T) {
	f := newFixture(t, func(_ *eventlog.Options, o *esdbserver.Options) {
		o.Password, o.LedgerPassword = "changeit", "ledger"
		o.Policy = esdbserver.Policy{
			Protected: func(stream string) bool { return !strings.HasPrefix(stream, "$") },
			Kept:      func(stream string) bool { return strings.HasPrefix(stream, "kept-") },
		}
	})
	as := func(user, password string) context.Context {
		basic := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
		return metadata.AppendToOutgoingContext(f.ctx, "authorization", "Basic "+basic)
	}
	admin, ledger := as("admin", "changeit"), as("recapito", "ledger")
	single := func(ctx context.Context, stream string) error {
		c := *f
		c.ctx = ctx
		_, err := c.append(optionsAny(stream), message("A", "application/json", []byte(`{}`)))
		return err
	}
	stores := map[string]*eventstore.Store{}
	for who, user := range map[string]string{"admin": "admin:changeit", "ledger": "recapito:ledger"} {
		store, err := eventstore.Open(eventstore.Options{URL: "esdb://" + user + "@" + f.server.Addr() + "?tls=false"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = store.Close() }()
		stores[who] = store
	}
	for stream, want := range map[string]map[string]codes.Code{
		"kept-1":   {"admin": codes.PermissionDenied, "ledger": codes.OK},
		"other-1":  {"admin": codes.PermissionDenied, "ledger": codes.OK},
		"$own":     {"admin": codes.OK, "ledger": codes.OK},
		"$$kept-1": {"admin": codes.PermissionDenied, "ledger": codes.PermissionDenied},
		"$$other":  {"admin": codes.PermissionDenied, "ledger": codes.OK},
	} {
		for who, ctx := range map[string]context.Context{"admin": admin, "ledger": ledger} {
			if got := status.Code(single(ctx, stream)); got != want[who] {
				t.Errorf("append by %s to %s: %v, want %v", who, stream, got, want[who])
			}
			_, err := stores[who].Append(f.ctx, stream, event.Any(), []event.New{{ID: uuid.NewString(), Type: "A", Data: []byte(`{}`)}})
			if (err == nil) != (want[who] == codes.OK) {
				t.Errorf("batch append by %s to %s: %v, want %v", who, stream, err, want[who])
			}
		}
	}
	for who, ctx := range map[string]context.Context{"admin": admin, "ledger": ledger} {
		for stream, want := range map[string]bool{"kept-1": false, "other-1": who == "ledger"} {
			id := name(stream)
			_, deleted := f.streams.Delete(ctx, &streams.DeleteReq{Options: &streams.DeleteReq_Options{StreamIdentifier: id, ExpectedStreamRevision: &streams.DeleteReq_Options_Any{Any: &shared.Empty{}}}})
			_, ended := f.streams.Tombstone(ctx, &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{StreamIdentifier: id, ExpectedStreamRevision: &streams.TombstoneReq_Options_Any{Any: &shared.Empty{}}}})
			for _, err := range []error{deleted, ended} {
				if (err == nil) != want || err != nil && status.Code(err) != codes.PermissionDenied {
					t.Errorf("%s ends %s: %v", who, stream, err)
				}
			}
		}
	}
}
