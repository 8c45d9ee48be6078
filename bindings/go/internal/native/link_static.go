//go:build opjournal_static

package native

// #cgo pkg-config: opjournal-static
import "C"
