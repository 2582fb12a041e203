package redisstore_test

import (
	"testing"

	"verdict/preprocess"
	"verdict/preprocess/storetest"
)

func TestStoreKeepsTheContract(t *testing.T) {
	for _, server := range withCluster() {
		t.Run(server.name, func(t *testing.T) {
			client := dial(t, server.start(t))
			open := fresh(client)
			storetest.Exercise(t, func(*testing.T) preprocess.Store { return open() })
		})
	}
}
