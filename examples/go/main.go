// Tour: a counter, a map, a set, a list, a scalar and an atomic batch, written, read back and digested.
//
//	tour file:///tmp/journal         writes, then reads
//	tour file:///tmp/journal read    reads only
//
// The same program stands beside this one in other languages; all print the same.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"opjournal.dev/opjournal"
)

// order is what the list holds.
type order struct {
	What     string `json:"what"`
	Quantity int64  `json:"quantity"`
}

// views are the names of the namespace, with their types.
type views struct {
	namespace *opjournal.Namespace
	greeting  opjournal.Scalar[string]
	total     opjournal.Int
	stock     opjournal.Int
	prices    opjournal.Map[string, int64]
	seen      opjournal.Set[string]
	sold      opjournal.IntMap[string]
	orders    opjournal.List[order]
}

func newViews(namespace *opjournal.Namespace) views {
	return views{
		namespace: namespace,
		greeting:  opjournal.NewScalar[string](namespace, "greeting"),
		total:     opjournal.NewInt(namespace, "total"),
		stock:     opjournal.NewInt(namespace, "stock"),
		prices:    opjournal.NewMap[string, int64](namespace, "prices"),
		seen:      opjournal.NewSet[string](namespace, "seen"),
		sold:      opjournal.NewIntMap[string](namespace, "sold"),
		orders:    opjournal.NewList[order](namespace, "orders"),
	}
}

func (v views) write(ctx context.Context) error {
	// Durable when it returns. What waits is this goroutine, and no thread.
	if err := v.greeting.Set(ctx, "Grüße, 世界 👋"); err != nil {
		return err
	}

	// Several on their way at once, each a batch of its own. They share requests to the store.
	writes := []opjournal.Op{
		v.total.AddOp(1<<53 + 1),
		v.prices.SetOp("tea", 180),
		v.prices.SetOp("café", 250),
		v.seen.AddOp("tea"),
		v.seen.AddOp("nul\x00inside"),
	}
	failures := make([]error, len(writes))
	var group sync.WaitGroup
	for i, op := range writes {
		group.Add(1)
		go func() {
			defer group.Done()
			_, failures[i] = v.namespace.Apply(ctx, op)
		}()
	}
	group.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}

	// One batch over several names: every replica sees all of it or nothing.
	if _, err := v.namespace.Apply(ctx, v.stock.AddOp(-1), v.sold.AddOp("tea", 1), v.orders.AppendOp(order{"tea", 1})); err != nil {
		return err
	}

	// A batch with a mistake in its second op is refused whole. A view would not make this one.
	_, err := v.namespace.Apply(ctx, v.stock.AddOp(1), opjournal.RawOp([]byte(`{"op":"IntAdd","Key":"stock","Delta":"one"}`)))
	var failure *opjournal.Error
	if !errors.As(err, &failure) {
		return err
	}
	retryable := map[bool]string{true: "yes", false: "no"}[failure.Retryable]
	fmt.Printf("refused: %s at op %v, field %v; outcome %v, retryable %s\n",
		failure.Code.String(), failure.Details["op"], failure.Details["field"], failure.Outcome, retryable)
	fmt.Printf("message: %s\n", failure.Message)
	return nil
}

// answers are those to the queries of read, in their order.
type answers struct {
	greeting struct {
		Value *string `json:"value"`
	}
	total, stock int64
	prices       [][2]json.RawMessage
	seen         int64
	nul          bool
	orders       []order
	digest       struct {
		SHA256 string `json:"sha256"`
	}
}

func (v views) read(ctx context.Context) error {
	if err := v.namespace.Flush(ctx); err != nil {
		return err
	}
	// v.total.Get() and the like answer one by one. Several queries in one are answered from one state.
	text, err := v.namespace.Query([]byte(`[
		{"op":"ScalarGet","Key":"greeting"},
		{"op":"IntGet","Key":"total"},
		{"op":"IntGet","Key":"stock"},
		{"op":"MapEntries","Key":"prices"},
		{"op":"SetLen","Key":"seen"},
		{"op":"SetContains","Key":"seen","Member":"nul\u0000inside"},
		{"op":"ListEntries","Key":"orders"},
		{"op":"Digest"}]`))
	if err != nil {
		return err
	}
	var a answers
	if err := json.Unmarshal(text, &[]any{&a.greeting, &a.total, &a.stock, &a.prices, &a.seen, &a.nul, &a.orders, &a.digest}); err != nil {
		return err
	}

	greeting, nul := "none", "without"
	if a.greeting.Value != nil {
		greeting = *a.greeting.Value
	}
	if a.nul {
		nul = "with"
	}
	var prices, orders []string
	for _, entry := range a.prices {
		var name string
		if err := json.Unmarshal(entry[0], &name); err != nil {
			return err
		}
		prices = append(prices, fmt.Sprintf("%s %s", name, entry[1]))
	}
	for _, order := range a.orders {
		orders = append(orders, fmt.Sprintf("%d %s", order.Quantity, order.What))
	}
	fmt.Printf("greeting: %s\ntotal: %d\nstock: %d\n", greeting, a.total, a.stock)
	fmt.Printf("prices: %s\nseen: %d %s NUL\norders: %s\n", strings.Join(prices, ", "), a.seen, nul, strings.Join(orders, ", "))
	fmt.Printf("digest: %s\n", a.digest.SHA256)
	return nil
}

func run(ctx context.Context, store string, reading bool) (err error) {
	journal, err := opjournal.Open(ctx, opjournal.Config{Store: store, ReadOnly: reading})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, journal.Close(ctx)) }()
	namespace, err := journal.Namespace(ctx, "tour")
	if err != nil {
		return err
	}
	v := newViews(namespace)
	if !reading {
		if err := v.write(ctx); err != nil {
			return err
		}
	}
	return errors.Join(v.read(ctx), namespace.Close())
}

func main() {
	reading := len(os.Args) == 3 && os.Args[2] == "read"
	if len(os.Args) != 2 && !reading {
		fmt.Fprintln(os.Stderr, "usage: tour STORE-URL [read]")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1], reading); err != nil {
		fmt.Fprintf(os.Stderr, "tour: %v\n", err)
		os.Exit(1)
	}
}
