package expr

// HasQuick says whether the program can run without CEL.
func (p *Program) HasQuick() bool { return p.quick != nil }

// Quick is Number without CEL; false where that is left to CEL.
func (p *Program) Quick(in *Input) (float64, bool) { return p.quick(in).result() }

// ByCEL is Number by CEL alone.
func (p *Program) ByCEL(in *Input) float64 { return p.byCEL(in) }

// HoldsByCEL is Holds by CEL alone.
func (p *Program) HoldsByCEL(in *Input) (bool, error) { return p.holdsByCEL(in) }
