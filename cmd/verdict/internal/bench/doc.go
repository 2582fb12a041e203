// Package bench is the load generator of verdict bench: an open loop (load.go) over orders under fresh ids (orders.go), sent to an HTTP API (http.go) or to Kafka
// (kafka.go), and what comes of it: tables, JSON and a plot of percentiles (report.go, plot.go).
package bench
