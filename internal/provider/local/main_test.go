//go:build linux

package local

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/headroom-dev/headroom/internal/agent"
	"github.com/headroom-dev/headroom/internal/provider"
)

// TestMain lets the test program stand in for the headroom program: as
// "agent" it is the real agent, as "controller" it is a controller that makes
// machines until it is killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "agent":
			os.Exit(agentMain(os.Args[3]))
		case "controller":
			os.Exit(controllerMain(os.Args[2], os.Args[3]))
		}
	}
	goleak.VerifyTestMain(m)
}

func agentMain(config string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	c, err := agent.LoadConfig(config)
	if err == nil {
		err = agent.Run(ctx, c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// controllerMain makes as many machines as it is told, says so after each, and
// then waits to be killed.
func controllerMain(dataDir, count string) int {
	d, err := open(context.Background(), Settings{}, testHost(dataDir))
	n, convErr := strconv.Atoi(count)
	if err != nil || convErr != nil {
		fmt.Fprintln(os.Stderr, err, convErr)
		return 1
	}
	for i := range n {
		if _, err := d.Create(context.Background(), wish(i)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println("made", i)
	}
	select {}
}

func testHost(dataDir string) provider.Host {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return provider.Host{DataDir: dataDir, Executable: self, Now: time.Now, Random: rand.Reader}
}

func testOwner() provider.Owner { return provider.Owner{Installation: "01jlocal", Provider: "local"} }

// wish is a request that is the same in every process.
func wish(i int) provider.Request {
	o := testOwner()
	id := "01jserver" + strconv.Itoa(i)
	return provider.Request{
		Token: "token-" + id, Name: "hr-" + strconv.Itoa(i),
		Tags:      provider.Tags{Installation: o.Installation, Provider: o.Provider, Server: id, AutoscaleConfig: "desktops"},
		Bootstrap: provider.Bootstrap{ControllerURL: "http://127.0.0.1:9", RegistrationToken: "registration-" + id, Pool: "p", RunAgent: true},
	}
}
