// Never built: the definitions of sources are read from it.
module cascade-operator.dev/testbed/source-controller

go 1.25.0

require github.com/fluxcd/source-controller v1.7.2 // indirect
