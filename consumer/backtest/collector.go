package backtest

// Collector takes rows and makes the report of them. It is not safe for concurrent use.
type Collector struct {
	cfg Config
}

// New returns an empty collector, or what is wrong with the configuration.
func New(cfg Config) (*Collector, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	return &Collector{cfg: cfg}, nil
}
