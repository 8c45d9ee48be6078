package native

// #include <opjournal.h>
// #include <stdlib.h>
import "C"

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// pollBatch is how many completions are taken out of a queue in one call into C.
const pollBatch = 256

// reader is a goroutine that takes completions out of a queue as they come.
type reader struct {
	file *os.File
	done chan struct{}
}

// startReader watches the queue's descriptor. It only waits for the descriptor to become readable and never reads it: the
// library does that.
func startReader(queue C.opjournal_queue, deliver func([]C.opjournal_completion)) (*reader, error) {
	var descriptor C.int
	if status := Status(C.opjournal_queue_fd(queue, &descriptor)); status != OK {
		return nil, fmt.Errorf("the queue has no descriptor: %s", StatusName(status))
	}
	// A duplicate, because os.File closes what it is given and the descriptor belongs to the library.
	own, err := duplicate(int(descriptor))
	if err != nil {
		return nil, fmt.Errorf("duplicating the queue's descriptor: %w", err)
	}
	file := os.NewFile(uintptr(own), "opjournal-queue")
	// Fails where the runtime cannot poll the descriptor, which is the one thing that it is for.
	if err := file.SetReadDeadline(time.Time{}); err != nil {
		file.Close()
		return nil, fmt.Errorf("the queue's descriptor cannot be polled: %w", err)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	r := &reader{file: file, done: make(chan struct{})}
	go r.run(queue, raw, deliver)
	return r, nil
}

func (r *reader) run(queue C.opjournal_queue, raw syscall.RawConn, deliver func([]C.opjournal_completion)) {
	defer close(r.done)
	batch := newBatch()
	defer batch.free()
	// Read calls the function whenever the descriptor becomes readable, until stop closes the file.
	_ = raw.Read(func(uintptr) bool {
		return !batch.drain(queue, deliver)
	})
}

// batch is where completions are fetched to: C memory, so that passing it costs no pointer check.
type batch struct {
	memory *C.opjournal_completion
}

func newBatch() batch {
	return batch{(*C.opjournal_completion)(C.calloc(pollBatch, C.sizeof_opjournal_completion))}
}

func (b batch) free() {
	C.free(unsafe.Pointer(b.memory))
}

// drain takes out everything that waits in the queue, which is what arms the descriptor again. It reports whether the queue
// is still open.
func (b batch) drain(queue C.opjournal_queue, deliver func([]C.opjournal_completion)) bool {
	for {
		var count C.size_t
		if Status(C.opjournal_queue_poll(queue, b.memory, pollBatch, &count)) != OK {
			return false
		}
		if count > 0 {
			deliver(unsafe.Slice(b.memory, int(count)))
		}
		if count < pollBatch {
			return true
		}
	}
}

// stop ends the reader and waits for it.
func (r *reader) stop() {
	r.file.Close()
	<-r.done
}

// duplicate is dup with close-on-exec, in non-blocking mode: os.NewFile hands only such descriptors to the poller.
func duplicate(descriptor int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	own, err := syscall.Dup(descriptor)
	if err != nil {
		return -1, err
	}
	syscall.CloseOnExec(own)
	if err := syscall.SetNonblock(own, true); err != nil {
		syscall.Close(own)
		return -1, err
	}
	return own, nil
}
