//! `std::sort` of libstdc++: the order that it gives to equal items decides results.
//!
//! Introsort (Musser 1997): quicksort by the median of three down to 16 items, heapsort if that goes too deep, insertion at
//! the end.

/// Up to so many items are left to insertion.
const SMALL: usize = 16;

/// Sorts as `std::sort` does, equal items in the order that it leaves them in.
pub(super) fn std_sort<T: Copy>(items: &mut [T], less: &impl Fn(&T, &T) -> bool) {
    let Some(log) = items.len().checked_ilog2() else {
        return;
    };
    partition_down(items, 2 * log, less);
    let (head, _) = items.split_at_mut(items.len().min(SMALL));
    for at in 1..head.len() {
        if less(&head[at], &head[0]) {
            head[..=at].rotate_right(1);
        } else {
            sink(head, at, less);
        }
    }
    for at in SMALL..items.len() {
        sink(items, at, less);
    }
}

/// Moves an item down below all greater ones before it.
fn sink<T: Copy>(items: &mut [T], mut at: usize, less: &impl Fn(&T, &T) -> bool) {
    let item = items[at];
    while at > 0 && less(&item, &items[at - 1]) {
        items[at] = items[at - 1];
        at -= 1;
    }
    items[at] = item;
}

/// Quicksort that leaves parts of 16 items and fewer as they are.
fn partition_down<T: Copy>(mut items: &mut [T], mut depth: u32, less: &impl Fn(&T, &T) -> bool) {
    while items.len() > SMALL {
        if depth == 0 {
            return heap_sort(items, less);
        }
        depth -= 1;
        median_to_front(items, less);
        let cut = partition(items, less);
        let (low, high) = items.split_at_mut(cut);
        partition_down(high, depth, less);
        items = low;
    }
}

/// Swaps the median of the second, the middle and the last item to the front.
fn median_to_front<T>(items: &mut [T], less: &impl Fn(&T, &T) -> bool) {
    let (a, b, c) = (1, items.len() / 2, items.len() - 1);
    let is_less = |i: usize, j: usize| less(&items[i], &items[j]);
    let median = if is_less(a, b) {
        if is_less(b, c) {
            b
        } else if is_less(a, c) {
            c
        } else {
            a
        }
    } else if is_less(a, c) {
        a
    } else if is_less(b, c) {
        c
    } else {
        b
    };
    items.swap(0, median);
}

/// Puts lesser items than the first before greater ones, and says where those begin.
fn partition<T>(items: &mut [T], less: &impl Fn(&T, &T) -> bool) -> usize {
    let (mut low, mut high) = (1, items.len());
    loop {
        while less(&items[low], &items[0]) {
            low += 1;
        }
        high -= 1;
        while less(&items[0], &items[high]) {
            high -= 1;
        }
        if low >= high {
            return low;
        }
        items.swap(low, high);
        low += 1;
    }
}

fn heap_sort<T: Copy>(items: &mut [T], less: &impl Fn(&T, &T) -> bool) {
    for parent in (0..items.len() / 2).rev() {
        let item = items[parent];
        adjust_heap(items, parent, item, less);
    }
    for end in (1..items.len()).rev() {
        let item = items[end];
        items[end] = items[0];
        adjust_heap(&mut items[..end], 0, item, less);
    }
}

/// Moves a hole to the bottom of the heap, then the item from there up to its place.
fn adjust_heap<T: Copy>(heap: &mut [T], top: usize, item: T, less: &impl Fn(&T, &T) -> bool) {
    let mut hole = top;
    while 2 * hole + 1 < heap.len() {
        let (left, right) = (2 * hole + 1, 2 * hole + 2);
        let child = if right >= heap.len() || less(&heap[right], &heap[left]) {
            left
        } else {
            right
        };
        heap[hole] = heap[child];
        hole = child;
    }
    while hole > top && less(&heap[(hole - 1) / 2], &item) {
        heap[hole] = heap[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    heap[hole] = item;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Vec<usize> {
        text.split_whitespace()
            .map(|n| n.parse().unwrap())
            .collect()
    }

    #[test]
    fn equal_items_are_left_as_libstdcxx_leaves_them() {
        for line in include_str!("recorded/sorts.txt").lines().skip(1) {
            let (keys, places) = line.split_once('|').unwrap();
            let mut items: Vec<(usize, usize)> = numbers(keys).into_iter().zip(0..).collect();
            std_sort(&mut items, &|a, b| a.0 < b.0);
            let found: Vec<usize> = items.iter().map(|item| item.1).collect();
            assert_eq!(found, numbers(places), "{keys}");
        }
    }
}
