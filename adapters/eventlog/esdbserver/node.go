package esdbserver

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
)

// version is that of the server whose protocol is spoken.
const version = "24.10.0"

// featuresService lists what clients may call. Names are in lower case.
type featuresService struct {
	serverfeatures.UnimplementedServerFeaturesServer
}

func (featuresService) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	reply := &serverfeatures.SupportedMethods{EventStoreServerVersion: version}
	add := func(service, method string, features ...string) {
		reply.Methods = append(reply.Methods, &serverfeatures.SupportedMethod{ServiceName: service, MethodName: method, Features: features})
	}
	const streamsService = "event_store.client.streams.streams"
	add(streamsService, "append")
	add(streamsService, "batchappend", "deadline_duration")
	add(streamsService, "read", "position", "events")
	for _, method := range []string{"create", "update", "delete", "read", "getinfo", "replayparked", "list", "restartsubsystem"} {
		add("event_store.client.persistent_subscriptions.persistentsubscriptions", method, "stream", "all")
	}
	add("event_store.client.gossip.gossip", "read")
	add("event_store.client.server_features.serverfeatures", "getsupportedmethods")
	return reply, nil
}

// gossipService knows of one node, which leads.
type gossipService struct {
	gossip.UnimplementedGossipServer
	server *Server
}

func (g *gossipService) Read(context.Context, *shared.Empty) (*gossip.ClusterInfo, error) {
	addr := g.server.options.Advertise
	if addr == "" {
		addr = g.server.Addr()
	}
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("the address for clients: %w", err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("the port for clients: %w", err)
	}
	return &gossip.ClusterInfo{Members: []*gossip.MemberInfo{{
		InstanceId:   idToProto(g.server.id, true),
		TimeStamp:    ticks(g.server.options.Now()),
		State:        gossip.MemberInfo_Leader,
		IsAlive:      true,
		HttpEndPoint: &gossip.EndPoint{Address: host, Port: uint32(port)},
	}}}, nil
}
