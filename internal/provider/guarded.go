package provider

import (
	"context"
	"time"
)

// Guarded makes one call of a service that makes no machines, such as a DNS
// service: with a deadline, safe from panics, its error classified and without
// secrets.
func Guarded[T any](ctx context.Context, limit time.Duration, secrets []string, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	v, err := protect(ctx, f)
	if err == nil {
		return v, nil
	}
	var zero T
	c := Client{timeout: limit, redact: newRedactor(secrets)}
	return zero, c.classify(ctx, err, secrets)
}
