// Command go-service is a small HTTP service that keeps download counters, feature flags, a deduplication set and an audit
// list in one namespace of an opjournal store. Run as many replicas as you like: each serves reads from its memory, and all
// come to the same state. README.md tells what it shows.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// The exit statuses: all is well, something failed, the command line is wrong.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// From the first signal on the next one has its usual effect: it ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stderr))
}

// run is main without the process around it.
func run(ctx context.Context, arguments []string, environment func(string) string, output io.Writer) int {
	config, err := parseConfig(arguments, environment, output)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintln(output, err)
		return exitUsage
	}
	logger := slog.New(slog.NewJSONHandler(output, nil)).With("replica", config.name)
	listener, err := net.Listen("tcp", config.listen)
	if err != nil {
		logger.Error("cannot listen", "error", err)
		return exitFailed
	}
	if err := serve(ctx, config, listener, logger); err != nil {
		logger.Error("stopped", "error", err)
		return exitFailed
	}
	logger.Info("stopped")
	return exitOK
}

// serve runs the service until ctx ends or something fails. Nil means that every request that was accepted has its answer, and
// that the journal holds nothing whose outcome is unknown.
func serve(ctx context.Context, config config, listener net.Listener, logger *slog.Logger) error {
	if len(config.replicas) == 0 {
		config.replicas = []string{"http://" + listener.Addr().String()}
	}
	service := newService(config, logger)
	server := &http.Server{
		Handler: service,
		// A client that sends or reads slowly must not hold a connection for ever. The rest has to be longer than a request waits for
		// the store: when ReadTimeout is over, the request's context ends as well.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       config.timeout + 10*time.Second,
		WriteTimeout:      config.timeout + 15*time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}

	// Serving begins before the state is there: /healthz answers at once, /readyz says no until it is loaded.
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	var running sync.WaitGroup
	running.Add(2)
	go func() {
		defer running.Done()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			giveUp(err)
		}
	}()
	go func() {
		defer running.Done()
		if err := service.load(ctx); err != nil {
			giveUp(err)
		}
	}()
	logger.Info("serving", "address", listener.Addr().String(), "store", config.store, "namespace", config.namespace)
	<-ctx.Done()

	err := context.Cause(ctx)
	if errors.Is(err, context.Canceled) {
		err = nil // Somebody said stop, as it should be.
		logger.Info("stopping")
	}
	// Order matters: first no new requests, then the answers of those that run, then the journal that they need.
	service.stopping.Store(true)
	if err == nil {
		time.Sleep(config.drain)
	}
	err = errors.Join(err, stopServing(server, config.stopTimeout))
	running.Wait()
	return errors.Join(err, service.close(config.stopTimeout))
}

// stopServing closes the listener, waits for the requests that run, and cuts off those that take longer than the timeout.
func stopServing(server *http.Server, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		_ = server.Close() // What it could say, Shutdown has said.
		return fmt.Errorf("requests were cut off: %w", err)
	}
	return nil
}
