package esdbserver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
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
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventlog/esdbserver"
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
