package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"
)

// config is what can be said when the service is started. Every flag has a variable of the environment as well: -sync-interval
// is SERVICE_SYNC_INTERVAL. The flag wins.
type config struct {
	listen    string
	name      string
	store     string
	endpoint  string
	namespace string
	// syncInterval is how often the replica looks for what others wrote: the price of a LIST each time.
	syncInterval time.Duration
	// staleAfter is how old the state may be before /readyz says no.
	staleAfter time.Duration
	// timeout bounds what one request waits for the store.
	timeout time.Duration
	// drain is how long the service still serves after it was told to stop, while /readyz says no, so that a load balancer
	// notices before connections are refused.
	drain time.Duration
	// stopTimeout bounds the wait for running requests, and after that the wait for the journal.
	stopTimeout time.Duration
	// replicas are the URLs of all replicas that the page shows, this one included.
	replicas []string
}

const variablePrefix = "SERVICE_"

// parseConfig reads flags and environment. flag.ErrHelp means that usage was asked for, and printed.
func parseConfig(arguments []string, environment func(string) string, usage io.Writer) (config, error) {
	var c config
	host, _ := os.Hostname()
	flags := flag.NewFlagSet("go-service", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.StringVar(&c.listen, "listen", "127.0.0.1:8080", "`address` to serve on")
	flags.StringVar(&c.name, "name", host, "what this replica is called in the audit list and on the page")
	flags.StringVar(&c.store, "store", "", "`URL` of the store: s3://BUCKET/ROOT, file:///DIR or memory:NAME (required)")
	flags.StringVar(&c.endpoint, "s3-endpoint", "", "`URL` of an S3 server other than AWS")
	flags.StringVar(&c.namespace, "namespace", "service", "the namespace that holds everything")
	flags.DurationVar(&c.syncInterval, "sync-interval", 15*time.Second, "how often to look for what other replicas wrote")
	flags.DurationVar(&c.staleAfter, "stale-after", time.Minute, "how old the state may be for the service to be ready")
	flags.DurationVar(&c.timeout, "timeout", 10*time.Second, "how long a request waits for the store")
	flags.DurationVar(&c.drain, "drain", 0, "how long to go on serving, unready, after SIGTERM")
	flags.DurationVar(&c.stopTimeout, "stop-timeout", 15*time.Second, "how long to wait for running requests, then for the journal")
	flags.Func("replicas", "`URLs` of all replicas, this one included, separated by commas: for the page", func(text string) error {
		c.replicas = strings.Split(text, ",")
		for _, replica := range c.replicas {
			if u, err := url.Parse(replica); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
				return fmt.Errorf("%q is no http:// or https:// URL", replica)
			}
		}
		return nil
	})

	var wrong []error
	flags.VisitAll(func(f *flag.Flag) {
		variable := variablePrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		f.Usage += " [" + variable + "]"
		if value := environment(variable); value != "" {
			if err := f.Value.Set(value); err != nil {
				wrong = append(wrong, fmt.Errorf("%s: %w", variable, err))
			}
		}
	})
	if err := flags.Parse(arguments); err != nil {
		return c, err
	}
	if flags.NArg() > 0 {
		wrong = append(wrong, fmt.Errorf("%q is no flag", flags.Arg(0)))
	}
	if c.store == "" {
		wrong = append(wrong, errors.New("-store is missing"))
	}
	for name, value := range map[string]time.Duration{"sync-interval": c.syncInterval, "stale-after": c.staleAfter, "timeout": c.timeout, "stop-timeout": c.stopTimeout} {
		if value <= 0 {
			wrong = append(wrong, fmt.Errorf("-%s must be positive", name))
		}
	}
	return c, errors.Join(wrong...)
}
