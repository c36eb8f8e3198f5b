package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// relay passes TCP connections on to targets, and disturbs them as networks do.
type relay struct {
	addr string
	dial func(context.Context) (net.Conn, string, error) // the second value names the target

	mu     sync.Mutex
	silent chan struct{}         // not nil: nothing gets through; closed when traffic goes on
	only   string                // what a client sends with this text in it does not get through, nor what follows
	held   int                   // messages that did not get through for that reason
	down   bool                  // connections are refused
	pairs  map[*relayed]struct{} // connections that are open
}

// relayed is a connection and the one that it is passed on to.
type relayed struct {
	from, to net.Conn
	target   string
}

func (p *relayed) close() {
	p.from.Close()
	p.to.Close()
}

func newRelay(t *testing.T, dial func(context.Context) (net.Conn, string, error)) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: l.Addr().String(), dial: dial, pairs: map[*relayed]struct{}{}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); l.Close(); r.restore(); r.drop(""); wg.Wait() })
	wg.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { r.serve(ctx, from) })
		}
	})
	return r
}

func (r *relay) serve(ctx context.Context, from net.Conn) {
	defer from.Close()
	r.mu.Lock()
	down := r.down
	r.mu.Unlock()
	if down {
		return
	}
	call, cancel := context.WithTimeout(ctx, 5*time.Second)
	to, target, err := r.dial(call)
	cancel()
	if err != nil {
		return
	}
	p := &relayed{from: from, to: to, target: target}
	defer p.close()
	r.mu.Lock()
	if r.down || ctx.Err() != nil {
		r.mu.Unlock()
		return
	}
	r.pairs[p] = struct{}{}
	r.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { r.forward(ctx, from, to, true); p.close() })
	r.forward(ctx, to, from, false)
	p.close()
	wg.Wait()
	r.mu.Lock()
	delete(r.pairs, p)
	r.mu.Unlock()
}

func (r *relay) forward(ctx context.Context, from, to net.Conn, client bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		r.mu.Lock()
		silent := r.silent
		if silent != nil && r.only != "" {
			if client && bytes.Contains(buffer[:n], []byte(r.only)) {
				r.held++
			} else {
				silent = nil
			}
		}
		r.mu.Unlock()
		if silent != nil {
			select {
			case <-silent:
			case <-ctx.Done():
				return
			}
		}
		if _, lost := to.Write(buffer[:n]); err != nil || lost != nil {
			return
		}
	}
}

// hang lets nothing through any more: connections stay open.
func (r *relay) hang() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.only = ""
	if r.silent == nil {
		r.silent = make(chan struct{})
	}
}

// hold lets everything through but what clients send with a text in it.
func (r *relay) hold(text string) {
	r.hang()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.only, r.held = text, 0
}

func (r *relay) holds() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held
}

// cut closes every connection and refuses new ones.
func (r *relay) cut() {
	r.mu.Lock()
	r.down = true
	r.mu.Unlock()
	r.drop("")
}

// restore ends what hang and cut did.
func (r *relay) restore() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down, r.only = false, ""
	if r.silent != nil {
		close(r.silent)
		r.silent = nil
	}
}

// drop closes the connections to a target, or all of them.
func (r *relay) drop(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pairs {
		if target == "" || p.target == target {
			p.close()
		}
	}
}

// balancer is a load balancer as the guide asks for: it asks each node whether
// it is ready, sends connections to those that are, in turn, and breaks the
// connections to one that no longer is.
type balancer struct {
	*relay
	nodes []string // their addresses

	mu    sync.Mutex
	ready []string
	next  int
	spare string // a node that gets no connections, ready or not
}

const (
	askEvery   = 300 * time.Millisecond
	askTimeout = time.Second
)

func newBalancer(t *testing.T, nodes []string) *balancer {
	t.Helper()
	b := &balancer{nodes: nodes}
	b.relay = newRelay(t, b.pick)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	wg.Go(func() {
		tick := time.NewTicker(askEvery)
		defer tick.Stop()
		for ctx.Err() == nil {
			b.ask(ctx)
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	return b
}

func (b *balancer) pick(ctx context.Context) (net.Conn, string, error) {
	b.mu.Lock()
	ready := slices.Clone(b.ready)
	b.next++
	first := b.next
	b.mu.Unlock()
	for i := range ready {
		addr := ready[(first+i)%len(ready)]
		if c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr); err == nil {
			return c, addr, nil
		}
	}
	return nil, "", errors.New("no node is ready")
}

func (b *balancer) ask(ctx context.Context) {
	b.mu.Lock()
	spare := b.spare
	b.mu.Unlock()
	answers := make([]bool, len(b.nodes))
	var wg sync.WaitGroup
	for i, addr := range b.nodes {
		if addr == spare {
			continue
		}
		wg.Go(func() { answers[i] = isReady(ctx, addr) })
	}
	wg.Wait()
	var ready []string
	for i, addr := range b.nodes {
		if answers[i] && addr != spare {
			ready = append(ready, addr)
		} else {
			b.drop(addr)
		}
	}
	b.mu.Lock()
	b.ready = ready
	b.mu.Unlock()
}

// leaveOut sends no connections to a node any more; the empty one takes all
// back.
func (b *balancer) leaveOut(addr string) {
	b.mu.Lock()
	b.spare = addr
	b.mu.Unlock()
	b.ask(context.Background())
}

func isReady(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
