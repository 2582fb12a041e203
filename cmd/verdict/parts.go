package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"verdict/consumer"
	"verdict/preprocess"
	"verdict/schemas"
	"verdict/scorer"
	"verdict/scorer/remote"
	"verdict/scorer/treemodel"
	"verdict/sync/httpapi"
)

// parts are what the files of a config say: all that serve decides with, before any connection is made. check makes them and goes no further.
type parts struct {
	schema   *schemas.Schema // nil takes every JSON object
	features *preprocess.FeatureSet
	scorer   *scorer.Scorer    // nil only when loadParts failed
	metrics  *consumer.Metrics // set before orders are decided; nil measures nothing
	registry *schemas.Registry // nil: orders are JSON
	orders   *schemas.Codec
	labels   *schemas.Codec
	key      schemas.Path     // what the API keys orders by
	legacy   []httpapi.Legacy // routes of other APIs
	failures failures
	bundles  map[string]*scorer.Bundle // :: folder → what it held when it was last loaded; owned by who loads
}

// modelLoaders are the model formats that a bundle may have.
func modelLoaders() map[string]scorer.Loader {
	return map[string]scorer.Loader{
		"lightgbm":                    treemodel.Load,
		"xgboost":                     treemodel.LoadXGBoost,
		"xgboost" + scorer.RoundsBest: treemodel.LoadXGBoostBest,
		"remote":                      remote.Load,
	}
}

// loadParts reads every file that cfg names. The error joins all that is wrong with them.
func loadParts(cfg *Config) (*parts, error) {
	var p parts
	var faults []error
	note := func(err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%w: %w", errInvalid, err))
		}
	}
	var err error
	p.schema, err = loadSchema(cfg.Orders.Schema)
	note(err)
	if cfg.Features != "" { // what is not named is for validate to say
		p.features, err = preprocess.Load(cfg.Features, p.schema)
		note(err)
	}
	p.scorer, err = p.loadScorer(cfg)
	note(err)
	p.legacy, err = loadLegacy(cfg.Sync.Routes)
	note(err)
	if p.features != nil {
		p.key, err = orderKey(cfg.Orders.Key, p.features, p.schema)
		note(err)
	}
	if len(cfg.Registry.URLs) > 0 {
		p.registry, err = schemas.NewRegistry(cfg.Registry.registry())
		note(err)
	}
	p.orders, err = schemas.NewCodec(schemas.CodecConfig{Schema: p.schema, Registry: p.registry, MaxBytes: cfg.Orders.MaxBytes})
	note(err)
	p.labels, err = schemas.NewCodec(schemas.CodecConfig{Registry: p.registry, MaxBytes: cfg.Orders.MaxBytes})
	note(err)
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return &p, nil
}

// loadSchema reads an order schema: none is verdict's own, "any" takes every JSON object and gives nil.
func loadSchema(file string) (*schemas.Schema, error) {
	switch file {
	case "":
		return schemas.DefaultOrderSchema(), nil
	case anySchema:
		return nil, nil //nolint:nilnil // no schema is a schema that takes everything
	}
	text, err := readAtMost(file, maxSchemaFile)
	if err != nil {
		return nil, fmt.Errorf("reading the order schema: %w", err)
	}
	return schemas.ParseSchema(file, text)
}

// orderKey returns the field that the API keys orders by.
func orderKey(configured string, features *preprocess.FeatureSet, schema *schemas.Schema) (schemas.Path, error) {
	if configured == "" {
		return features.PartitionKey(), nil
	}
	path := schemas.ParsePath(configured)
	if schema != nil && !schema.Has(path) {
		return nil, fmt.Errorf("orders.key: the order schema has no field %s%s", configured, schemas.Meant(configured, schema.Paths()))
	}
	return path, nil
}

// openAPI returns what the API's document says of an order's body; nil is any object.
func (p *parts) openAPI() json.RawMessage {
	if p.schema == nil {
		return nil
	}
	return p.schema.JSONSchema()
}
