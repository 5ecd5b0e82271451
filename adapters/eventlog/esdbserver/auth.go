package esdbserver

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// The users that there are.
const (
	User       = "admin"
	LedgerUser = "recapito" // may write what Policy keeps for the ledger
)

// authenticator lets those in who know a password. Without one it lets everybody in.
// It keeps hashes of user:password, so that not even the length leaks.
type authenticator struct{ credentials map[string][sha256.Size]byte } // by user

func newAuthenticator(o Options) authenticator {
	a := authenticator{map[string][sha256.Size]byte{}}
	for user, password := range map[string]string{User: o.Password, LedgerUser: o.LedgerPassword} {
		if password != "" {
			a.credentials[user] = sha256.Sum256([]byte(user + ":" + password))
		}
	}
	return a
}

// open lists what clients may ask before they log in.
func open(method string) bool {
	return strings.HasPrefix(method, "/event_store.client.server_features.") || strings.HasPrefix(method, "/event_store.client.gossip.")
}

func (a authenticator) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if err := a.check(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return handle(ctx, request)
}

func (a authenticator) stream(service any, s grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if err := a.check(s.Context(), info.FullMethod); err != nil {
		if info.IsClientStream && !info.IsServerStream {
			drain(s)
		}
		s.SetTrailer(trailersOf(err))
		return err
	}
	return handle(service, s)
}

func (a authenticator) check(ctx context.Context, method string) error {
	if len(a.credentials) == 0 || open(method) {
		return nil
	}
	_, err := a.user(ctx)
	return err
}

// user returns who calls.
func (a authenticator) user(ctx context.Context) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	given := md.Get("authorization")
	if len(given) == 0 {
		return "", status.Error(codes.PermissionDenied, "Access Denied")
	}
	const scheme = "basic "
	if len(given[0]) < len(scheme) || !strings.EqualFold(given[0][:len(scheme)], scheme) {
		return "", status.Error(codes.Unauthenticated, "only basic authentication is known")
	}
	raw, err := base64.StdEncoding.DecodeString(given[0][len(scheme):])
	if err != nil {
		return "", status.Error(codes.Unauthenticated, "malformed credentials")
	}
	got := sha256.Sum256(raw)
	for user, want := range a.credentials {
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			return user, nil
		}
	}
	return "", status.Error(codes.Unauthenticated, "wrong user or password")
}

// Policy names the streams that clients may not change. The stream of a stream's metadata
// ($$…) counts as that stream.
type Policy struct {
	// Protected reports whether LedgerUser alone may write a stream; nobody, if that has no
	// password. nil: none is.
	Protected func(stream string) bool
	// Kept reports whether nobody may delete a stream, or write its metadata, which can hide
	// events. nil: none is.
	Kept func(stream string) bool
}

// mayWrite refuses an append that the policy does not allow.
func (s *streamsService) mayWrite(ctx context.Context, stream string) error {
	named, meta := strings.CutPrefix(stream, "$$")
	if meta && s.policy.Kept != nil && s.policy.Kept(named) {
		return denied("the metadata of the ledger's streams cannot be changed")
	}
	if s.policy.Protected == nil || !s.policy.Protected(named) {
		return nil
	}
	if user, err := s.users.user(ctx); err == nil && user == LedgerUser {
		return nil
	}
	return denied("only the ledger writes its streams")
}

// mayDelete refuses an end that the policy does not allow.
func (s *streamsService) mayDelete(ctx context.Context, stream string) error {
	if s.policy.Kept != nil && s.policy.Kept(strings.TrimPrefix(stream, "$$")) {
		return denied("the ledger's streams are never deleted")
	}
	return s.mayWrite(ctx, stream)
}

func denied(reason string) error {
	return refuse(codes.PermissionDenied, "Access Denied: "+reason, trailerException, "access-denied")
}

func trailersOf(err error) metadata.MD {
	if status.Code(err) == codes.PermissionDenied {
		return metadata.Pairs(trailerException, "access-denied")
	}
	return nil
}
