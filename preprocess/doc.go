// Package preprocess makes feature vectors of orders.
//
//	spec.go, specfeature.go, yaml.go   the feature set's file, read strictly
//	features.go                        what it comes to
//	store.go                           what keeps the points of earlier orders: the contract; memstore and redisstore fulfil it
//	extract.go, key.go                 orders → one exchange with the store → vectors
//	window.go                          what a window means, the only place that knows
//
// Time comes in with the orders. Nothing here looks at the clock, so a history gives the same vectors whenever it is run.
package preprocess
