package native

// #include <opjournal.h>
import "C"

import (
	"errors"
	"unsafe"
)

// LogLevel is one of the library's OPJOURNAL_LOG_ numbers: the higher, the more is logged.
type LogLevel int32

// The levels.
const (
	LogError LogLevel = C.OPJOURNAL_LOG_ERROR
	LogWarn  LogLevel = C.OPJOURNAL_LOG_WARN
	LogInfo  LogLevel = C.OPJOURNAL_LOG_INFO
	LogDebug LogLevel = C.OPJOURNAL_LOG_DEBUG
	LogTrace LogLevel = C.OPJOURNAL_LOG_TRACE
)

// logSlots is how many slots the queue of the log has. The library uses half of them, and counts what it has to drop.
const logSlots = 1 << 13

// Log takes the log records of the library out of a queue of their own, so that they never take a slot from a call. There is
// one in the process at a time.
type Log struct {
	id      C.opjournal_queue
	reader  *reader
	deliver func([]C.opjournal_completion)
}

// StartLog hands every record, a JSON object that is valid during the call only, to handle, on one goroutine.
func StartLog(handle func(record []byte)) (*Log, error) {
	s := NewScratch()
	defer s.Release()
	l := &Log{deliver: func(completions []C.opjournal_completion) {
		for i := range completions {
			result := &completions[i].result
			if completions[i].kind == C.OPJOURNAL_KIND_LOG {
				handle(unsafe.Slice((*byte)(unsafe.Pointer(result.data)), int(result.len)))
			}
			C.opjournal_buffer_free(result)
		}
	}}
	if status := Status(C.opjournal_queue_open(logSlots, &l.id, s.buffer)); status != OK {
		return nil, errors.New(string(s.Answer()))
	}
	var err error
	if l.reader, err = startReader(l.id, l.deliver); err != nil {
		C.opjournal_queue_close(l.id)
		return nil, err
	}
	return l, nil
}

// SetLevel asks for the records up to a level.
func (l *Log) SetLevel(level LogLevel) error {
	if status := Status(C.opjournal_log_to_queue(C.int32_t(level), l.id)); status != OK {
		return errors.New("the library refuses to log: " + StatusName(status))
	}
	return nil
}

// Stop turns the log off. What was logged before is handled first.
func (l *Log) Stop() {
	C.opjournal_log_to_queue(C.OPJOURNAL_LOG_OFF, 0)
	l.reader.stop()
	rest := newBatch()
	defer rest.free()
	rest.drain(l.id, l.deliver)
	C.opjournal_queue_close(l.id)
}
