// Package opjournal shares counters, maps, sets, lists and scalars among a fleet of processes, kept in a plain S3 bucket: no
// server, no leader, no lock. It is a thin wrapper of the opjournal library, which does the work.
//
// # The idea
//
// A [Journal] is a replica of everything under one store. A [Namespace] is one consistent state in it, a set of named
// values. Reads are answered from memory, in well under a microsecond, and never ask the store. Writes are ops ("add 1 to
// total") that are durable in the store when the call returns, and that every replica applies in the same order. So
// concurrent additions all count, and replicas that have seen the same writes hold byte-identical states.
//
//	journal, err := opjournal.Open(ctx, opjournal.Config{Store: "s3://my-bucket/my-service"})
//	if err != nil {
//		return err
//	}
//	defer journal.Close(context.Background())
//
//	namespace, err := journal.Namespace(ctx, "orders")
//	if err != nil {
//		return err
//	}
//	total := opjournal.NewInt(namespace, "total")
//	if err := total.Add(ctx, 1); err != nil { // durable in the bucket when it returns
//		return err
//	}
//	n, err := total.Get() // from memory
//
// # Views
//
// A value in a namespace is a number, a map, a list or a plain scalar. Typed views read and write it: [Scalar], [Int],
// [IntMap], [Set], [Map] and [List]. A view is a name and a namespace, nothing else: make one wherever it is needed, copy it
// freely. Nothing is declared; a value exists once something was written to it.
//
// Keys, members and values are encoded with encoding/json. Integers stay integers all the way: no int64 is ever rounded, and
// numbers that are decoded into an any are [encoding/json.Number]. Inside a key or a member every number must be an integer,
// since languages print other numbers differently, and the same key would get two names. Two keys are the same when their
// JSON is, member order and escapes aside.
//
// # Batches
//
// Every write method has a twin that makes the [Op] instead: [Int.AddOp] for [Int.Add]. Ops that are applied together, with
// [Namespace.Apply] or a [Batch], are atomic: no query of any replica ever sees only some of them.
//
// # How fresh a read is
//
// A replica sees its own writes at once, and those of others with its next sync, every 15 s by default. [Namespace.Flush] is
// a barrier for those who need more: what was acknowledged anywhere before the call is visible after it. While the store is
// away, reads go on from the last state; [Namespace.Age] says how old it is.
//
// # Waiting
//
// [Journal.Namespace], [Namespace.Apply], [Namespace.Flush] and [Journal.Close] wait for the store, as long as their context
// allows; a context without a deadline gets the library's bound of 30 s (Close: 10 s). A goroutine that waits in them costs
// no OS thread, so tens of thousands may. Up to 65,536 calls of a journal are under way at once; further ones wait for their
// turn, under their context. Batches that are applied at the same time share a segment, so a thousand goroutines are far
// faster than one.
//
// # Errors
//
// Every failure of the library is an [*Error]. Tell them apart with [errors.Is] and a [Code] such as [ErrBusy] or
// [ErrUnavailable]; a context that ends a call also matches [context.Canceled] or [context.DeadlineExceeded].
//
// A write has three outcomes. Nil: it is durable and counts exactly once. An error that matches [ErrOutcomeUnknown]: the
// batch was on its way when the caller stopped waiting or the store went away; it may or may not take effect, at most once.
// Do not apply it again. The library settles it as soon as the store answers: [Namespace.Flush] waits for that, and
// [Namespace.Outcome] then answers for [Error.Segment]. Any other error: nothing was written, and nothing will be.
//
// # Linking
//
// The package finds the library through pkg-config. With the build tag opjournal_static it links the static archive
// instead, and the program needs no shared library at run time.
package opjournal
