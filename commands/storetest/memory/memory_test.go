package memory_test

import (
	"testing"

	"recapito/commands"
	"recapito/commands/storetest"
	"recapito/commands/storetest/memory"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) commands.Store { return &memory.Store{} })
}
