// Package intercept is the door through which opjournaltest steps between a caller and a journal. It is internal, so that
// programs cannot depend on it.
package intercept

import "context"

// Interceptor stands before the calls of one journal. Each method may pass the call on with forward, at most once.
type Interceptor interface {
	// Apply returns the segment that holds the batch.
	Apply(ctx context.Context, namespace string, forward func(context.Context) (segment string, err error)) (segment string, err error)
	Flush(ctx context.Context, namespace string, forward func(context.Context) error) error
	// Outcome answers for a segment that the interceptor made up or kept back; false: ask the library.
	Outcome(namespace, segment string) (outcome string, ok bool)
}

type key struct{}

// NewContext makes every journal that is opened under the context pass its calls through i.
func NewContext(ctx context.Context, i Interceptor) context.Context {
	return context.WithValue(ctx, key{}, i)
}

// FromContext returns the interceptor of the context, or nil.
func FromContext(ctx context.Context) Interceptor {
	i, _ := ctx.Value(key{}).(Interceptor)
	return i
}
