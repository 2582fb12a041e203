package main

import (
	"fmt"
	"strings"

	"verdict/schemas/strictyaml"
	"verdict/sync/httpapi"
)

// loadLegacy reads the routes of other APIs: a file, or what stands in verdict.yaml itself; "" is none.
func loadLegacy(path string) ([]httpapi.Legacy, error) {
	if path == "" {
		return nil, nil
	}
	var under []string
	file, inline := strings.CutSuffix(path, inlineRoutes)
	if inline {
		under = strings.Split(routesKey, ".")
	}
	text, err := strictyaml.Read(file)
	if err != nil {
		return nil, fmt.Errorf("reading sync.routes: %w", err)
	}
	return httpapi.LoadLegacy(file, text, under...)
}
