package main

import "verdict/sync/await"

// ReplyOf is what a record of the replies topic says to who waits for it.
func ReplyOf(value []byte, code, detail string) await.Reply { return replyOf(value, code, detail) }
