package main

import (
	"reflect"

	"verdict/sync/await"
)

// ReplyOf is what a record of the replies topic says to who waits for it.
func ReplyOf(value []byte, code, detail string) await.Reply { return replyOf(value, code, detail) }

// SecretKeys returns the config's keys that hold secrets.
func SecretKeys() []string {
	_, secrets := configKeys(reflect.TypeFor[Config](), "")
	return secrets
}
