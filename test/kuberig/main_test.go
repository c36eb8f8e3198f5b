package kuberig_test

import (
	"os"
	"testing"

	"github.com/headroom-dev/headroom/test/kuberig"
)

func TestMain(m *testing.M) { os.Exit(kuberig.Main(m)) }
