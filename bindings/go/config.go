package opjournal

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"time"
)

// Config says where a journal keeps its objects, and how. Only Store is required; a zero field means the library's
// default. The library checks every field, and its error names the one that is wrong.
type Config struct {
	// Store is where the objects are: "s3://BUCKET[/ROOT]", "file:///DIR" (shared by the processes of one machine) or
	// "memory:NAME" (shared inside this process).
	Store string
	// SyncInterval is how often a quiet namespace looks for what others wrote. Default 15 s.
	SyncInterval time.Duration
	// CommitInterval is the least time between two segments of a namespace. Default 0: as fast as the store answers.
	CommitInterval time.Duration
	// ReadOnly never writes anything to the store. Read-only credentials are enough.
	ReadOnly bool
	// AllowDegraded opens a namespace although it holds a segment that this version cannot read.
	AllowDegraded bool
	// S3 says how to reach an s3:// store.
	S3 S3Config
	// Compaction says when segments are folded into the rollup.
	Compaction CompactionConfig
	// Limits bounds everything that could grow.
	Limits LimitsConfig
	// JSON is the configuration in the library's own form, as a configuration file may hold it. It replaces every field
	// above.
	JSON json.RawMessage
	// Logger receives the library's log records, those at the levels for which it is enabled when the journal is opened. The
	// library has one log for the whole process: where several journals with different loggers are open, each logger gets
	// the records of all of them. Nil: no records for this journal's sake. Its handler must not open or close journals.
	Logger *slog.Logger
}

// S3Config says how to reach S3. What is absent comes from the AWS SDK's default chain: environment, profile, web identity,
// instance role, refreshed as they expire. Proxies come from the usual environment variables.
type S3Config struct {
	Region string
	// Endpoint is the URL of another server than AWS.
	Endpoint string
	// ForcePathStyle asks for URLs with the bucket in the path, as most other servers want them.
	ForcePathStyle      bool
	AccessKeyID         string
	SecretAccessKey     Secret
	SessionToken        Secret
	Profile             string
	ExpectedBucketOwner string
	// SSE is "AES256" or "aws:kms"; KMSKeyID belongs to the latter.
	SSE      string
	KMSKeyID string
	// CABundle is a file of PEM certificates that are trusted besides the system's.
	CABundle string
}

// CompactionConfig says when segments are folded into the rollup.
type CompactionConfig struct {
	// SegmentThreshold is how many aged segments there must be. Default 256.
	SegmentThreshold int
	// AgeThreshold is how old a segment must be, at least 6 s. Default 30 s. Below 30 s it must be the same for the whole
	// bucket, and is meant for tests.
	AgeThreshold time.Duration
	// MaxAge is how old the first segment is when fewer are folded as well, for each MiB of the rollup. Default an hour; negative: never.
	MaxAge time.Duration
}

// LimitsConfig bounds everything that could grow, in bytes unless said otherwise.
type LimitsConfig struct {
	// BatchBytes bounds one batch as JSON. Default 1 MiB.
	BatchBytes int64
	// SegmentBytes bounds one segment. Default 4 MiB.
	SegmentBytes int64
	// WaitingBytes bounds the batches of a namespace that wait to be sent; past it, Apply fails with ErrBusy. Default 64 MiB.
	WaitingBytes int64
	// StateBytes bounds the canonical JSON of a namespace. Default 512 MiB.
	StateBytes int64
	// Depth bounds how deep JSON may be nested. Default 128.
	Depth int
	// ObjectBytes bounds any object that is read. Default 1 GiB.
	ObjectBytes int64
}

// Secret is a string that is not printed: fmt, slog and encoding/json show "[redacted]".
type Secret string

const redacted = "[redacted]"

// Format implements fmt.Formatter.
func (s Secret) Format(state fmt.State, _ rune) {
	if s != "" {
		fmt.Fprint(state, redacted)
	}
}

// MarshalJSON implements json.Marshaler.
func (s Secret) MarshalJSON() ([]byte, error) {
	if s == "" {
		return []byte(`""`), nil
	}
	return []byte(`"` + redacted + `"`), nil
}

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value {
	return slog.StringValue(fmt.Sprint(s))
}

// text is the configuration as the library reads it.
func (c *Config) text() ([]byte, error) {
	if c.JSON != nil {
		return c.JSON, nil
	}
	type compaction struct {
		SegmentThreshold int    `json:"segment_threshold,omitempty"`
		AgeThreshold     int64  `json:"age_threshold_ms,omitempty"`
		MaxAge           *int64 `json:"max_age_ms,omitempty"`
	}
	// 0 is "never" to the library, and "the default" here.
	var maxAge *int64
	if c.Compaction.MaxAge != 0 {
		age := milliseconds(max(c.Compaction.MaxAge, 0))
		maxAge = &age
	}
	type limits struct {
		Batch   int64 `json:"batch_bytes,omitempty"`
		Segment int64 `json:"segment_bytes,omitempty"`
		Waiting int64 `json:"waiting_bytes,omitempty"`
		State   int64 `json:"state_bytes,omitempty"`
		Depth   int   `json:"depth,omitempty"`
		Object  int64 `json:"object_bytes,omitempty"`
	}
	return json.Marshal(struct {
		Store               string     `json:"store"`
		SyncInterval        int64      `json:"sync_interval_ms,omitempty"`
		CommitInterval      int64      `json:"commit_interval_ms,omitempty"`
		ReadOnly            bool       `json:"read_only,omitempty"`
		AllowDegraded       bool       `json:"allow_degraded,omitempty"`
		Region              string     `json:"region,omitempty"`
		Endpoint            string     `json:"endpoint,omitempty"`
		ForcePathStyle      bool       `json:"force_path_style,omitempty"`
		AccessKeyID         string     `json:"access_key_id,omitempty"`
		SecretAccessKey     string     `json:"secret_access_key,omitempty"`
		SessionToken        string     `json:"session_token,omitempty"`
		Profile             string     `json:"profile,omitempty"`
		ExpectedBucketOwner string     `json:"expected_bucket_owner,omitempty"`
		SSE                 string     `json:"sse,omitempty"`
		KMSKeyID            string     `json:"kms_key_id,omitempty"`
		CABundle            string     `json:"ca_bundle,omitempty"`
		Compaction          compaction `json:"compaction,omitzero"`
		Limits              limits     `json:"limits,omitzero"`
	}{
		Store:               c.Store,
		SyncInterval:        milliseconds(c.SyncInterval),
		CommitInterval:      milliseconds(c.CommitInterval),
		ReadOnly:            c.ReadOnly,
		AllowDegraded:       c.AllowDegraded,
		Region:              c.S3.Region,
		Endpoint:            c.S3.Endpoint,
		ForcePathStyle:      c.S3.ForcePathStyle,
		AccessKeyID:         c.S3.AccessKeyID,
		SecretAccessKey:     string(c.S3.SecretAccessKey),
		SessionToken:        string(c.S3.SessionToken),
		Profile:             c.S3.Profile,
		ExpectedBucketOwner: c.S3.ExpectedBucketOwner,
		SSE:                 c.S3.SSE,
		KMSKeyID:            c.S3.KMSKeyID,
		CABundle:            c.S3.CABundle,
		Compaction:          compaction{c.Compaction.SegmentThreshold, milliseconds(c.Compaction.AgeThreshold), maxAge},
		Limits: limits{c.Limits.BatchBytes, c.Limits.SegmentBytes, c.Limits.WaitingBytes, c.Limits.StateBytes,
			c.Limits.Depth, c.Limits.ObjectBytes},
	})
}

// milliseconds rounds up, so that no positive duration becomes 0, which would mean something else.
func milliseconds(d time.Duration) int64 {
	whole := d.Milliseconds()
	if d > time.Duration(whole)*time.Millisecond {
		whole++
	}
	return whole
}
