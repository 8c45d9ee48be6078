package opjournal

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"opjournal.dev/opjournal/internal/native"
)

// LevelTrace is the slog level of the library's finest records.
const LevelTrace = slog.LevelDebug - 4

// logs is the way from the library's one log to the loggers of the open journals.
var logs struct {
	mutex sync.Mutex
	// users counts the journals of each logger.
	users   map[*slog.Logger]int
	running *native.Log
	// loggers is what the reader of the log sees: it must not wait for the mutex, because Stop waits for the reader.
	loggers atomic.Pointer[[]*slog.Logger]
}

// forwardLogs makes logger receive the library's records until stop is called.
func forwardLogs(logger *slog.Logger) (stop func(), err error) {
	if logger == nil {
		return func() {}, nil
	}
	if err := addLogger(logger); err != nil {
		return nil, &Error{Code: ErrInternal, Outcome: OutcomeNone, Message: err.Error()}
	}
	return sync.OnceFunc(func() { removeLogger(logger) }), nil
}

func addLogger(logger *slog.Logger) error {
	logs.mutex.Lock()
	defer logs.mutex.Unlock()
	if logs.running == nil {
		running, err := native.StartLog(handleRecord)
		if err != nil {
			return err
		}
		logs.running, logs.users = running, map[*slog.Logger]int{}
	}
	logs.users[logger]++
	return publishLoggers()
}

func removeLogger(logger *slog.Logger) {
	logs.mutex.Lock()
	defer logs.mutex.Unlock()
	if logs.users[logger]--; logs.users[logger] > 0 {
		return
	}
	if len(logs.users) == 1 {
		logs.running.Stop()
		logs.running = nil
	}
	delete(logs.users, logger)
	// Asking for fewer records cannot be refused in a way that matters: they are filtered by each logger anyway.
	_ = publishLoggers()
}

// publishLoggers brings the library and the reader up to date. The mutex is held.
func publishLoggers() error {
	loggers := slices.Collect(maps.Keys(logs.users))
	logs.loggers.Store(&loggers)
	if logs.running == nil {
		return nil
	}
	wanted := native.LogError
	for _, logger := range loggers {
		wanted = max(wanted, finest(logger))
	}
	return logs.running.SetLevel(wanted)
}

var levels = []struct {
	native native.LogLevel
	slog   slog.Level
	name   string
}{
	{native.LogTrace, LevelTrace, "TRACE"},
	{native.LogDebug, slog.LevelDebug, "DEBUG"},
	{native.LogInfo, slog.LevelInfo, "INFO"},
	{native.LogWarn, slog.LevelWarn, "WARN"},
	{native.LogError, slog.LevelError, "ERROR"},
}

// finest is the finest level for which logger is enabled.
func finest(logger *slog.Logger) native.LogLevel {
	for _, level := range levels {
		if logger.Enabled(context.Background(), level.slog) {
			return level.native
		}
	}
	return native.LogError
}

// handleRecord hands one record of the library to every logger.
func handleRecord(text []byte) {
	record, err := parseRecord(text)
	if err != nil {
		record = slog.NewRecord(time.Now(), slog.LevelWarn, "opjournal: unexpected log record", 0)
		record.AddAttrs(slog.String("record", string(text)))
	}
	for _, logger := range *logs.loggers.Load() {
		if logger.Enabled(context.Background(), record.Level) {
			// A handler that fails has nobody else to tell.
			_ = logger.Handler().Handle(context.Background(), record.Clone())
		}
	}
}

// parseRecord turns a record of the library into one of slog. Members without a counterpart become attributes, in the
// order of their names.
func parseRecord(text []byte) (slog.Record, error) {
	var members map[string]any
	if err := unmarshal(text, &members); err != nil {
		return slog.Record{}, err
	}
	at := time.Now()
	if stamp, _ := members["time"].(string); stamp != "" {
		if parsed, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
			at = parsed
			delete(members, "time")
		}
	}
	severity := slog.LevelInfo
	name, _ := members["level"].(string)
	for _, level := range levels {
		if strings.EqualFold(level.name, name) {
			severity = level.slog
			delete(members, "level")
		}
	}
	message, _ := members["message"].(string)
	delete(members, "message")
	record := slog.NewRecord(at, severity, message, 0)
	for _, member := range slices.Sorted(maps.Keys(members)) {
		value := members[member]
		if number, ok := value.(json.Number); ok {
			value = number.String()
			if whole, err := number.Int64(); err == nil {
				value = whole
			}
		}
		record.AddAttrs(slog.Any(member, value))
	}
	return record, nil
}
