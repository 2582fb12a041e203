// Package schemas has the words that all others share (Order, Label, Decision, Layout, FeatureVector) and turns bytes into them and back.
//
// Bytes from outside are decoded in two steps. First into a Record: JSON by json.go, strictly; Avro by avrodecode.go, walking the writer's schema, with
// every length checked before room is made. Then, when an order schema is configured, the Record is held against it by fit.go, which tells every
// fault by its JSON pointer and turns values into the kinds that the schema says, so that features see the same whichever form the order came in.
//
// There are two fates for an error: a *Malformed is the input's fault and is never tried again; ErrRegistry is an outage.
package schemas
