package main

// static int take(const char *text, long size) { return text != 0 && size > 0; }
import "C"

import (
	"errors"
	"os"
	"sync"
	"time"
	"unsafe"
)

// textBytes is about what an op of the dataset takes.
const textBytes = 110

// parks measures what callers take who do nothing but call into C, park, and are woken together, as if a PUT that took so long had
// carried an op of each: what no library that is called from Go can do without.
func parks(count int, put, lasting time.Duration) (map[string]float64, error) {
	// Who wakes is woken itself through Go's network poller, as the library's Go package is by its completions.
	answers, store, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer answers.Close()
	defer store.Close()
	var mutex sync.Mutex
	var waiting []chan struct{}
	go func() {
		answer := make([]byte, 1)
		for {
			if _, err := answers.Read(answer); err != nil {
				return
			}
			mutex.Lock()
			for _, woken := range waiting {
				woken <- struct{}{}
			}
			waiting = waiting[:0]
			mutex.Unlock()
		}
	}()

	ops, refused := 0, false
	var group sync.WaitGroup
	worked, begun := cpu(), time.Now()
	for range count {
		group.Add(1)
		go func() {
			defer group.Done()
			woken := make(chan struct{}, 1)
			text := make([]byte, textBytes)
			for time.Since(begun) < lasting {
				taken := C.take((*C.char)(unsafe.Pointer(unsafe.SliceData(text))), textBytes) == 1
				mutex.Lock()
				waiting = append(waiting, woken)
				ops++
				refused = refused || !taken
				mutex.Unlock()
				<-woken
			}
		}()
	}
	over := make(chan struct{})
	go func() {
		group.Wait()
		close(over)
	}()
	for isOver := false; !isOver; {
		select {
		case <-over:
			isOver = true
		case <-time.After(put):
			if _, err := store.Write([]byte{0}); err != nil {
				return nil, err
			}
		}
	}
	if refused {
		return nil, errors.New("C did not get a text")
	}
	return map[string]float64{"ops": float64(ops), "wall": float64(time.Since(begun)), "cpu": float64(cpu() - worked)}, nil
}
