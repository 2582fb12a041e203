package redisstore

import "github.com/redis/go-redis/v9"

// ofPipelines is what a hook embeds that is about pipelines alone.
type ofPipelines struct{}

// DialHook is redis.Hook's.
func (ofPipelines) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook is redis.Hook's.
func (ofPipelines) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
