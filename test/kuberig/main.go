package kuberig

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// Main runs the tests of a package that uses the rig. They wait for the cluster
// most of the time, so that more of them run at once than there are cores.
func Main(m *testing.M) int {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", "8"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
	}
	return m.Run()
}
