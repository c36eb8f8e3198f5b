package cli

import "fmt"

// progress is one line on the terminal that says what is being waited for.
// Without a terminal it says nothing.
type progress struct {
	app   *app
	shown bool
	last  string
}

func (a *app) progress() *progress { return &progress{app: a} }

func (p *progress) show(format string, args ...any) {
	if !p.app.streams.ErrTTY {
		return
	}
	text := oneLine(fmt.Sprintf(format, args...))
	if w := p.app.streams.Width; w > 0 {
		text = cut(text, w-1) // a line that wraps could not be cleared
	}
	if text == p.last {
		return
	}
	p.app.say("\r\x1b[K%s", text)
	p.shown, p.last = true, text
}

func (p *progress) clear() {
	if p.shown {
		p.app.say("\r\x1b[K")
	}
	p.shown, p.last = false, ""
}
