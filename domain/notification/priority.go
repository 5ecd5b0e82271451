package notification

// Priorities of a notification, highest first. Each has dispatch topics of its own.
var Priorities = []string{"high", "normal", "low"}

// DefaultPriority is that of a request that names none.
const DefaultPriority = "normal"
