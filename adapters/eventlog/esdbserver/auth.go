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

// User is the one user there is.
const User = "admin"

// authenticator lets those in who know the password.
type authenticator struct{ password string }

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
	if open(method) {
		return nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	given := md.Get("authorization")
	if len(given) == 0 {
		return status.Error(codes.PermissionDenied, "Access Denied")
	}
	const scheme = "basic "
	if len(given[0]) < len(scheme) || !strings.EqualFold(given[0][:len(scheme)], scheme) {
		return status.Error(codes.Unauthenticated, "only basic authentication is known")
	}
	raw, err := base64.StdEncoding.DecodeString(given[0][len(scheme):])
	if err != nil {
		return status.Error(codes.Unauthenticated, "malformed credentials")
	}
	// Of hashes, so that not even the length leaks.
	got, want := sha256.Sum256(raw), sha256.Sum256([]byte(User+":"+a.password))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return status.Error(codes.Unauthenticated, "wrong user or password")
	}
	return nil
}

func trailersOf(err error) metadata.MD {
	if status.Code(err) == codes.PermissionDenied {
		return metadata.Pairs(trailerException, "access-denied")
	}
	return nil
}
