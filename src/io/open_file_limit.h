// How many files this process may hold open.
#pragma once

namespace kilter::io {

/// Raises the soft limit to the hard one: a publication holds every output open until all are
/// whole, and a checkpoint may have a thousand shards. Programs call it once, at their start;
/// libraries never do, because select() in other code breaks above 1024.
void raise_open_file_limit();

}  // namespace kilter::io
