package opjournal_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"opjournal.dev/opjournal"
)

// exampleNamespace stands for the namespace that a program opens once, as Example shows.
func exampleNamespace(ctx context.Context) (namespace *opjournal.Namespace, done func()) {
	journal, err := opjournal.Open(ctx, opjournal.Config{Store: memoryStore()})
	if err != nil {
		log.Fatal(err)
	}
	namespace, err = journal.Namespace(ctx, "example")
	if err != nil {
		log.Fatal(err)
	}
	return namespace, func() { _ = journal.Close(ctx) }
}

func Example() {
	ctx := context.Background()
	// In production: Store: "s3://my-bucket/my-service".
	journal, err := opjournal.Open(ctx, opjournal.Config{Store: "memory:example"})
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close(ctx)
	namespace, err := journal.Namespace(ctx, "orders")
	if err != nil {
		log.Fatal(err)
	}
	total := opjournal.NewInt(namespace, "total")
	if err := total.Add(ctx, 2); err != nil {
		log.Fatal(err)
	}
	n, err := total.Get()
	fmt.Println(n, err)
	// Output: 2 <nil>
}

func ExampleBatch() {
	ctx := context.Background()
	namespace, done := exampleNamespace(ctx)
	defer done()

	stock := opjournal.NewIntMap[string](namespace, "stock")
	sold := opjournal.NewList[string](namespace, "sold")

	var batch opjournal.Batch
	batch.Add(stock.SetOp("apple", 10), stock.SetOp("pear", 5))
	batch.Add(stock.AddOp("apple", -1), sold.AppendOp("apple"))
	if _, err := batch.Apply(ctx, namespace); err != nil {
		log.Fatal(err)
	}
	for entry, err := range stock.Entries() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(entry.Key, entry.Value)
	}
	// Output:
	// apple 9
	// pear 5
}

func ExampleMap() {
	ctx := context.Background()
	namespace, done := exampleNamespace(ctx)
	defer done()

	type User struct {
		Name  string `json:"name"`
		Admin bool   `json:"admin"`
	}
	users := opjournal.NewMap[int, User](namespace, "users")
	if err := users.Set(ctx, 7, User{Name: "Ann", Admin: true}); err != nil {
		log.Fatal(err)
	}
	user, found, err := users.Get(7)
	fmt.Println(user, found, err)
	_, found, err = users.Get(8)
	fmt.Println(found, err)
	// Output:
	// {Ann true} true <nil>
	// false <nil>
}

func ExampleMap_Entries() {
	ctx := context.Background()
	namespace, done := exampleNamespace(ctx)
	defer done()

	sizes := opjournal.NewMap[string, int](namespace, "sizes")
	if _, err := namespace.Apply(ctx, sizes.SetOp("img/a", 1), sizes.SetOp("img/b", 2), sizes.SetOp("css/c", 3)); err != nil {
		log.Fatal(err)
	}
	for entry, err := range sizes.Entries(opjournal.Prefix("img/"), opjournal.PageSize(100)) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(entry.Key, entry.Value)
	}
	// Output:
	// img/a 1
	// img/b 2
}

func ExampleNamespace_Flush() {
	ctx := context.Background()
	store := opjournal.Config{Store: "memory:example-flush"}
	open := func() (*opjournal.Journal, *opjournal.Namespace) {
		journal, err := opjournal.Open(ctx, store)
		if err != nil {
			log.Fatal(err)
		}
		namespace, err := journal.Namespace(ctx, "seen")
		if err != nil {
			log.Fatal(err)
		}
		return journal, namespace
	}
	// Two replicas, as two processes would have them.
	one, mine := open()
	defer one.Close(ctx)
	two, theirs := open()
	defer two.Close(ctx)

	if err := opjournal.NewSet[string](mine, "ids").Add(ctx, "x1"); err != nil {
		log.Fatal(err)
	}
	if err := theirs.Flush(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(opjournal.NewSet[string](theirs, "ids").Contains("x1"))
	// Output: true <nil>
}

func ExampleError() {
	ctx := context.Background()
	namespace, done := exampleNamespace(ctx)
	defer done()

	err := opjournal.NewInt(namespace, "total").Add(ctx, 1)
	var failure *opjournal.Error
	switch {
	case err == nil:
		fmt.Println("durable, and counts once")
	case errors.Is(err, opjournal.ErrOutcomeUnknown) && errors.As(err, &failure):
		// Flush waits until it is settled.
		if err := namespace.Flush(ctx); err != nil {
			log.Fatal(err)
		}
		fmt.Println(namespace.Outcome(failure.Segment))
	default:
		fmt.Println("nothing was written:", err)
	}
	// Output: durable, and counts once
}
