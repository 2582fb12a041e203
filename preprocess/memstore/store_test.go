package memstore_test

import (
	"testing"

	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/preprocess/storetest"
)

func TestStoreKeepsTheContract(t *testing.T) {
	storetest.Exercise(t, func(*testing.T) preprocess.Store { return memstore.New(memstore.Config{}) })
}
