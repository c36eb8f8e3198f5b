package pools_test

import (
	"os"
	"testing"

	"github.com/headroom-dev/headroom/test/pools"
)

func TestMain(m *testing.M) {
	code := m.Run()
	pools.Cleanup()
	os.Exit(code)
}
