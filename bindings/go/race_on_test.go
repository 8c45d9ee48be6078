//go:build race

package opjournal_test

const raceEnabled = true
